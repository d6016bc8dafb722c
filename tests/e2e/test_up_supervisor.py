"""Starting, watching and stopping processes, with the emotion service as the process: it is quick and real."""

from __future__ import annotations

import os
import signal

import psutil
import pytest

from oviya.cli.local import supervisor
from oviya.cli.local.plan import Plan
from oviya.cli.local.ports import free_ports
from oviya.cli.local.process import ServiceDied, State
from oviya.cli.local.supervisor import LocalMesh
from oviya.errors import OviyaError, Timeout
from oviya.mesh.probe import is_serving

READY_S = 60.0


def is_ready(mesh: LocalMesh) -> bool:
    return all(service.state is State.READY for service in mesh.services.values())


def one_service(tmp_path, **env: str) -> LocalMesh:
    (port,) = free_ports(1)
    return LocalMesh(
        Plan({"emotion": port}, 1, {**os.environ, "EMOTION_PORT": str(port), **env}), tmp_path / "new" / "logs"
    )


def test_a_service_starts_serves_and_ends(tmp_path):
    with one_service(tmp_path) as mesh:
        service = mesh.services["emotion"]
        assert (service.state, service.pid) == (State.STOPPED, None)
        mesh.start()
        assert service.state is State.STARTING
        mesh.wait_ready(READY_S)
        assert is_ready(mesh)
        assert is_serving(service.address, "oviya.v1.EmotionService")
        assert 10 << 20 < service.memory_bytes < 500 << 20
        assert service.ready_after_s is not None
        assert 0 < service.ready_after_s < READY_S
        assert mesh.stop() == []
        assert (service.state, service.exit_code) == (State.STOPPED, 0)
        assert "draining" in service.log.read_text()
        assert not is_serving(service.address)


def test_a_proxy_for_the_world_outside_is_not_asked_about_health(tmp_path, monkeypatch):
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    with one_service(tmp_path) as mesh:
        mesh.start()
        mesh.wait_ready(READY_S)


def test_a_stopped_service_can_be_started_again_and_its_log_goes_on(tmp_path):
    with one_service(tmp_path) as mesh:
        for times in (1, 2):
            mesh.start(["emotion"])
            mesh.wait_ready(READY_S, ["emotion"])
            mesh.stop(["emotion"])
            assert mesh.services["emotion"].log.read_text().count("stopped") == times


def test_a_service_that_cannot_start_fails_the_wait_with_the_end_of_its_log(tmp_path):
    with one_service(tmp_path, EMOTION_LOG_LEVEL="loud") as mesh:
        mesh.start()
        with pytest.raises(ServiceDied, match="EMOTION_LOG_LEVEL") as died:
            mesh.wait_ready(READY_S)
        assert "code 1" in str(died.value)
        assert "emotion.log" in died.value.hint


def test_a_killed_service_is_found_dead(tmp_path):
    with one_service(tmp_path) as mesh:
        mesh.start()
        mesh.wait_ready(READY_S)
        service = mesh.services["emotion"]
        assert service.pid is not None
        os.kill(service.pid, signal.SIGKILL)
        os.waitid(os.P_PID, service.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and its parent has yet to see it
        mesh.poll()
        assert mesh.dead == [service]
        assert "SIGKILL" in str(service.exit_error())
        assert not is_ready(mesh)
        assert service.memory_bytes == 0


def test_a_service_that_does_not_end_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "STOP_TIMEOUT_S", 0.3)
    with one_service(tmp_path) as mesh:
        mesh.start()
        mesh.wait_ready(READY_S)
        pid = mesh.services["emotion"].pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)  # a process that hangs
        assert mesh.stop() == ["emotion"]
        assert not psutil.pid_exists(pid)
        assert mesh.services["emotion"].state is State.STOPPED


def test_waiting_too_long_says_for_what(tmp_path):
    with one_service(tmp_path) as mesh:
        mesh.start()
        with pytest.raises(Timeout, match=r"emotion \(starting\)"):
            mesh.wait_ready(0.0)


def test_a_taken_port_stops_the_start_before_any_process(tmp_path):
    with one_service(tmp_path) as first:
        first.start()
        first.wait_ready(READY_S)
        second = LocalMesh(first.plan, tmp_path / "second")
        with pytest.raises(OviyaError, match=str(first.services["emotion"].pid)):
            second.start()
        assert second.services["emotion"].pid is None
        first.poll()
        assert is_ready(first)


def test_logs_that_cannot_be_written_are_an_error(tmp_path):
    (tmp_path / "new").write_text("a file where a folder should be")
    with one_service(tmp_path) as mesh, pytest.raises(OviyaError, match="cannot write logs"):
        mesh.start()
