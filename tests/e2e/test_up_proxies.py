"""`oviya up` and the commands work where the environment names a proxy that is not there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from oviya.audio.wav import read_wav
from oviya.cli.local.plan import GATEWAY
from tests.e2e.test_up import TIMEOUT_S, Up

NOBODY = "http://127.0.0.1:9"
PROXIES = dict.fromkeys(("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY"), NOBODY) | {
    "no_proxy": "",
    "NO_PROXY": "",
}


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    options: dict[str, Any] = dict(PROXIES)
    mesh = Up(tmp_path, "--json", **options)
    yield mesh
    if mesh.process.poll() is None:
        for process in (*psutil.Process(mesh.process.pid).children(recursive=True), mesh.process):
            process.kill()
    mesh.process.communicate()


def test_the_mesh_is_ready_and_speaks_in_spite_of_a_proxy(up: Up, tmp_path: Path):
    ready = up.events_until("ready")[-1]
    assert ready["event"] == "ready"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "oviya.cli",
            "say",
            "Hello there.",
            "-o",
            "out.wav",
            "--address",
            up.plan.address(GATEWAY),
        ],
        cwd=tmp_path,
        env={**os.environ, **PROXIES},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(read_wav(tmp_path / "out.wav")[0]) > 12_000
    code, _, errors = up.end(signal.SIGINT)
    assert code == 0, errors
