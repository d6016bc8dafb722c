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
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from oviya.audio.wav import read_wav, write_wav
from tests.support.speech import SAD, speak, word_errors

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
PROJECT = "oviya-test"
PORTS = {"OVIYA_HTTP_PORT": "18000", "OVIYA_GRPC_PORT": "18050"}
MEDIA_PORTS = range(50100, 50164)
SETTINGS = {"GATEWAY_HISTORY_TURNS": "7", "BRAIN_PERSONA": "I am a secret of the brain.", "STT_MAX_TURN_S": "33"}
"""Settings as `.env` gives them; the last one shows that each service still gets its own."""
SERVICES = {"stt", "brain", "emotion", "csm", "mimi", "gateway"}
FILES = ("compose.yaml", "tests/compose/compose.test.yaml")


def compose(*arguments: str, timeout_s: float = 120) -> str:
    files = [word for file in FILES for word in ("-f", file)]
    done = subprocess.run(
        ["docker", "compose", "-p", PROJECT, *files, *arguments],
        cwd=ROOT,
        env={**os.environ, **PORTS, **SETTINGS},
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


def test_a_container_gets_the_settings_of_its_own_service_alone(mesh):
    for service in SERVICES:
        env = compose("exec", "-T", service, "env")
        for name, value in SETTINGS.items():
            assert (f"{name}={value}" in env) == name.startswith(service.upper()), (service, name)


def test_every_container_is_confined(mesh):
    for service in sorted(SERVICES):
        (name,) = compose("ps", "--quiet", service).split()
        inspected = subprocess.run(["docker", "inspect", name], capture_output=True, text=True, check=True).stdout
        host = json.loads(inspected)[0]["HostConfig"]
        assert host["Memory"] >= 1 << 30, service
        assert 0 < host["PidsLimit"] <= 2048, service
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert "no-new-privileges:true" in host["SecurityOpt"], service
        probe = "import os, sys; print(os.access('.', os.W_OK), '' in sys.path or os.getcwd() in sys.path)"
        assert compose("exec", "-T", service, "python", "-c", probe).strip() == "False False", service


def test_only_the_gateway_and_the_brain_have_a_way_out_of_the_mesh(mesh):
    networks = {}
    for service in SERVICES:
        (name,) = compose("ps", "--quiet", service).split()
        inspected = subprocess.run(["docker", "inspect", name], capture_output=True, text=True, check=True).stdout
        joined = json.loads(inspected)[0]["NetworkSettings"]["Networks"]
        networks[service] = {network.removeprefix(f"{PROJECT}_") for network in joined}
    assert networks.pop("gateway") == {"front", "back"}
    assert networks.pop("brain") == {"back", "model"}
    assert set(map(frozenset, networks.values())) == {frozenset({"back"})}


KILL_ITSELF = """
import os, signal
for pid in filter(str.isdigit, os.listdir("/proc")):
    with open(f"/proc/{pid}/cmdline") as file:
        words = file.read().split(chr(0))
    if words[:2] == ["python", "-m"] and words[2].startswith("services."):
        os.kill(int(pid), signal.SIGKILL)
"""


def test_a_service_that_crashes_comes_back_and_the_mesh_talks_again(mesh):
    """The process is killed, not the container: `docker kill` is a stop by hand, after which nothing restarts."""
    (name,) = compose("ps", "--quiet", "csm").split()
    compose("exec", "-T", "csm", "python", "-c", KILL_ITSELF)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        rows = [json.loads(line) for line in compose("ps", "--format", "json", "csm").splitlines()]
        if rows and rows[0]["Health"] == "healthy" and get("/readyz")["services"]["csm"]["state"] == "serving":
            break
        time.sleep(1)
    state = subprocess.run(["docker", "inspect", name], capture_output=True, text=True, check=True).stdout
    assert json.loads(state)[0]["RestartCount"] == 1
    assert oviya("say", "Hello.", "--voice", "csm", "-o", os.devnull)["duration_s"] > 0.3


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
