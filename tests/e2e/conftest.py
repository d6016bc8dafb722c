"""The real mesh, six processes on free ports, for the tests that need all of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from oviya.audio.wav import write_wav
from oviya.cli.local.plan import GATEWAY, plan_on_free_ports
from oviya.cli.local.process import State
from oviya.cli.local.supervisor import LocalMesh
from tests.support.mimi_tap import MimiTap
from tests.support.speech import SAD, speak

READY_TIMEOUT_S = 120.0
"""A machine that runs other tests beside this one is slow; `benchmarks/conversation.py` holds the real figure."""


class RunningMesh:
    """The mesh that runs, a hand on each of its services, and an ear at Mimi."""

    def __init__(self, local: LocalMesh, mimi: MimiTap) -> None:
        self.local = local
        self.mimi = mimi
        self.http_url = local.plan.http_url
        self.grpc_address = local.plan.address(GATEWAY)
        self.addresses = {name: local.plan.address(name) for name in local.services}
        self.logs = {name: service.log for name, service in local.services.items()}

    def stop(self, name: str) -> None:
        """Drains and ends one service."""
        assert not self.local.stop([name]), f"{name} did not end by itself"

    def start(self, name: str) -> None:
        """Starts a stopped service again and waits until it, and with it the gateway, is ready."""
        self.local.start([name])
        self.local.wait_ready(READY_TIMEOUT_S, [name])

    def kill(self, name: str) -> None:
        """Ends one service as a crash would."""
        self.local.services[name].kill()

    def restore(self) -> None:
        """Starts every service that does not run, and waits until all are ready."""
        self.local.poll()
        for name, service in self.local.services.items():
            if service.state in (State.STOPPED, State.DIED):
                self.local.start([name])
        self.local.wait_ready(READY_TIMEOUT_S)


@pytest.fixture(scope="session")
def _running_mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMesh]:
    # Media over loopback alone: a test must not depend on what other networks this machine is on.
    # on a slow machine, the pause between two turns of a test may be a long silence
    env = {**os.environ, "GATEWAY_ICE_BIND_ADDRESSES": '["127.0.0.1"]', "GATEWAY_SILENCE_PROMPT": ""}
    plan = plan_on_free_ports(env)
    with closing(MimiTap(plan.address("mimi"))) as mimi:
        plan = replace(plan, env={**plan.env, "GATEWAY_MIMI_ADDRESS": mimi.address})
        with LocalMesh(plan, tmp_path_factory.mktemp("logs")) as local:
            local.start()
            local.wait_ready(READY_TIMEOUT_S)
            yield RunningMesh(local, mimi)


@pytest.fixture
def mesh(_running_mesh: RunningMesh) -> RunningMesh:
    """A mesh whose six services are all ready; what an earlier test stopped is started again."""
    _running_mesh.restore()
    _running_mesh.mimi.drain()  # what earlier tests had decoded
    return _running_mesh


@dataclass(frozen=True)
class Ran:
    """A finished command."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """Its output, which must be one JSON document and nothing else."""
        return json.loads(self.stdout)


class Cli:
    """The `oviya` command as a user runs it, against one mesh."""

    def __init__(self, mesh: RunningMesh, folder: Path) -> None:
        self.folder = folder
        self.env = {
            **os.environ,
            "OVIYA_ADDRESS": mesh.grpc_address,
            "OVIYA_STT_ADDRESS": mesh.addresses["stt"],
            "COLUMNS": "200",
        }

    def __call__(self, *arguments: str, stdin: str = "") -> Ran:
        """Runs it in a folder of its own."""
        done = subprocess.run(
            [sys.executable, "-m", "oviya.cli", *arguments],
            cwd=self.folder,
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def cli(mesh: RunningMesh, tmp_path: Path) -> Cli:
    """The command line against the mesh, run in `tmp_path`."""
    return Cli(mesh, tmp_path)


@pytest.fixture
def question(tmp_path: Path) -> Path:
    """A WAV file in which flite asks what to do when one feels sad and lonely."""
    path = tmp_path / "question.wav"
    write_wav(path, speak(SAD, 16_000), 16_000)
    return path
