"""`oviya doctor`: what is here, what is missing, and how to get it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

from oviya.cli.local.checks import EXTRAS, requirements
from oviya.cli.local.plan import plan_on_free_ports


def doctor(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "oviya.cli", "doctor", *arguments],
        env={**plan_on_free_ports(os.environ).env, **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_machine_that_has_all(mesh):
    done = doctor("--json", **mesh.local.plan.env)
    assert done.returncode == 0, done.stdout
    report = json.loads(done.stdout)
    checks = {(check["group"], check["name"]): check for check in report["checks"]}
    assert report["ok"]
    assert {name for group, name in checks if group == "packages"} == set(EXTRAS)
    for name, address in mesh.addresses.items():
        assert checks["services", name]["detail"] == f"SERVING at {address}"
    assert checks["services", "page"]["detail"] == mesh.http_url
    assert checks["tools", "portaudio"]["verdict"] in ("ok", "absent")  # only a sound card needs it
    data = {name: check["verdict"] for (group, name), check in checks.items() if group == "data"}
    assert data == dict.fromkeys(("silero-vad", "whisper", "smart-turn", "espeak-ng"), "ok")


def test_services_that_do_not_run_are_no_fault_while_their_ports_are_free():
    done = doctor()
    assert done.returncode == 0, done.stdout
    assert "not running; port" in done.stdout
    assert "All that the mesh needs is here." in done.stdout


def test_tools_that_are_absent_are_named_with_the_way_to_get_them(tmp_path):
    done = doctor("--json", PATH=str(tmp_path), HOME=str(tmp_path), PLAYWRIGHT_BROWSERS_PATH="")
    assert done.returncode == 0  # the mesh runs without them
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    for name in ("docker", "flite", "node", "chromium"):
        assert checks[name]["verdict"] == "absent"
        assert checks[name]["fix"]
    assert checks["GPU"]["verdict"] == "absent"


def test_a_port_that_another_program_has_is_missing():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = doctor(BRAIN_PORT=str(port))
    assert done.returncode == 1
    assert f"port {port} is taken by process {os.getpid()}" in done.stdout
    assert "BRAIN_PORT" in done.stdout
    assert "Missing: brain." in done.stdout


def test_requirements_are_those_of_the_distribution():
    assert "torch" in requirements("csm")
    assert "aiortc" in requirements("gateway")
    assert "structlog" in requirements("mesh")
    assert not any(name.startswith("oviya") for extra in EXTRAS for name in requirements(extra))
    assert all(requirements(extra) for extra in EXTRAS)
