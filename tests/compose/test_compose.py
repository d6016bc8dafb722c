"""The mesh in containers, on a real Docker engine: `make test-compose`.

Outside `make test`, since it needs an engine and builds six images.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from oviya.audio.wav import read_wav, write_wav
from tests.speech import SAD, speak, word_errors

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
PROJECT = "oviya-test"
PORTS = {"OVIYA_HTTP_PORT": "18000", "OVIYA_GRPC_PORT": "18050"}
MEDIA_PORTS = range(50100, 50120)
SERVICES = {"stt", "brain", "emotion", "csm", "mimi", "gateway"}
FILES = ("compose.yaml", "tests/compose/compose.test.yaml")


def compose(*arguments: str, timeout_s: float = 120) -> str:
    files = [word for file in FILES for word in ("-f", file)]
    done = subprocess.run(
        ["docker", "compose", "-p", PROJECT, *files, *arguments],
        cwd=ROOT,
        env={**os.environ, **PORTS},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def oviya(*arguments: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "oviya.cli", *arguments, "--json"],
        env={**os.environ, "OVIYA_ADDRESS": f"127.0.0.1:{PORTS['OVIYA_GRPC_PORT']}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def get(path: str) -> dict:
    with urllib.request.urlopen(f"http://127.0.0.1:{PORTS['OVIYA_HTTP_PORT']}{path}", timeout=10) as answer:
        return json.loads(answer.read())


@pytest.fixture(scope="module")
def mesh():
    """Six containers from this checkout, healthy; gone at the end."""
    compose("up", "--detach", "--build", "--wait", timeout_s=1500)
    yield
    print(compose("logs", "--tail", "20"))
    compose("down", "--volumes", "--timeout", "40")


def test_all_six_are_healthy_and_not_root(mesh):
    rows = [json.loads(line) for line in compose("ps", "--format", "json").splitlines()]
    assert {row["Service"] for row in rows} == SERVICES
    assert {row["Health"] for row in rows} == {"healthy"}
    for service in SERVICES:
        assert compose("exec", "-T", service, "id", "-u").strip() != "0"
    assert get("/readyz")["ready"]


def test_a_conversation(mesh, tmp_path):
    write_wav(tmp_path / "question.wav", speak(SAD, 16_000), 16_000)
    result = oviya("talk", str(tmp_path / "question.wav"), "-o", str(tmp_path / "reply.wav"))
    assert word_errors(json.dumps(result["transcript"]).strip('"'), SAD) <= 2
    reply, rate = read_wav(tmp_path / "reply.wav")
    assert len(reply) / rate > 1
    assert abs(reply).max() > 0.1


async def test_media_comes_through_the_published_ports(mesh):
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peer.addTransceiver("audio", "recvonly")
    peer.createDataChannel("events")
    connected = asyncio.Event()
    peer.on("connectionstatechange", lambda: connected.set() if peer.connectionState == "connected" else None)
    try:
        await peer.setLocalDescription(await peer.createOffer())
        body = json.dumps({"sdp": peer.localDescription.sdp, "type": "offer"}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{PORTS['OVIYA_HTTP_PORT']}/offer", body, {"Content-Type": "application/json"}
        )
        answer = await asyncio.to_thread(lambda: json.loads(urllib.request.urlopen(request, timeout=20).read()))
        candidates = re.findall(r"a=candidate:\S+ \d \w+ \d+ (\S+) (\d+) typ host", answer["sdp"])
        assert candidates
        assert {address for address, _ in candidates} == {"127.0.0.1"}
        assert all(int(port) in MEDIA_PORTS for _, port in candidates)
        await peer.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))
        await asyncio.wait_for(connected.wait(), 20)
        track = peer.getReceivers()[0].track
        frame: Any = await asyncio.wait_for(track.recv(), 20)
        assert frame.sample_rate == 48_000
    finally:
        await peer.close()


def test_two_csm_replicas_both_serve(mesh):
    compose("up", "--detach", "--scale", "csm=2", "--no-recreate", "--wait", timeout_s=300)

    def served(index: int) -> float:
        text = compose(
            "exec", "-T", "--index", str(index), "csm", "python", "-c",
            "import urllib.request as u; print(u.urlopen('http://localhost:9054/metrics').read().decode())",
        )  # fmt: skip
        return sum(
            float(line.split()[-1])
            for line in text.splitlines()
            if line.startswith("oviya_rpc_seconds_count{") and "Generate" in line
        )

    before = [served(1), served(2)]
    for _ in range(30):  # the second replica is found when the connection is renewed, here within seconds
        oviya("say", "Hello.", "--voice", "csm", "-o", os.devnull)
        gained = [served(index) - before[index - 1] for index in (1, 2)]
        if min(gained) >= 2:
            return
    pytest.fail(f"calls per replica: {gained}")


def test_the_command_line_is_in_the_gateways_image(mesh):
    said = json.loads(
        compose("exec", "-T", "gateway", "oviya", "say", "Hello.", "-o", "/tmp/hello.wav", "--json").splitlines()[-1]
    )
    assert said["duration_s"] > 0.3


def test_sigterm_ends_every_container_by_itself(mesh):
    """137 is the exit code of what the engine had to kill."""
    compose("stop", "--timeout", "40")
    rows = [json.loads(line) for line in compose("ps", "--all", "--format", "json").splitlines()]
    assert {row["Service"] for row in rows} == SERVICES
    assert {row["ExitCode"] for row in rows} == {0}
