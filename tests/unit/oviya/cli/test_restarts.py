"""When a service that died is started again."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
from dataclasses import dataclass, field

import pytest

from oviya.cli.local.plan import Plan
from oviya.cli.local.process import ServiceProcess, State, gateway_readiness, signal_name
from oviya.cli.local.restarts import MAX_RESTARTS, WINDOW_S, Restarter, RestartPolicy


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Service:
    name: str
    state: State = State.READY
    exit_reason: str = "was ended by SIGKILL"
    detail: str = ""
    log: str = "csm.log"

    def last_error(self) -> str:
        return "MemoryError"


@dataclass
class Mesh:
    services: dict[str, Service]
    started: list[str] = field(default_factory=list)

    @property
    def dead(self) -> list[Service]:
        return [service for service in self.services.values() if service.state is State.DIED]

    def start(self, names: list[str]) -> None:
        for name in names:
            self.started.append(name)
            self.services[name].state = State.STARTING


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def mesh():
    return Mesh({"csm": Service("csm"), "stt": Service("stt")})


def test_pauses_grow_and_end_at_the_limit(clock):
    restarts = RestartPolicy(clock)
    assert [restarts.next() for _ in range(MAX_RESTARTS + 1)] == [
        (1, 0.5),
        (2, 1.0),
        (3, 2.0),
        (4, 4.0),
        (5, 8.0),
        None,
    ]


def test_exits_long_ago_do_not_count(clock):
    restarts = RestartPolicy(clock)
    for _ in range(3 * MAX_RESTARTS):
        assert restarts.next() == (1, 0.5)
        clock.now += WINDOW_S + 1


def test_a_dead_service_is_reported_once_and_started_after_its_pause(mesh, clock):
    restarter = Restarter(mesh, clock)
    assert list(restarter.check()) == []
    mesh.services["csm"].state = State.DIED
    (exited,) = restarter.check()
    assert str(exited) == "csm was ended by SIGKILL: MemoryError; it starts again in 0.5 s (restart 1 of 5)"
    clock.now += 0.4
    assert list(restarter.check()) == []
    assert mesh.started == []
    clock.now += 0.2
    assert list(restarter.check()) == []
    assert mesh.started == ["csm"]  # and not stt, which runs
    mesh.services["csm"].state = State.DIED
    (exited,) = restarter.check()
    assert (exited.restart, exited.delay_s) == (2, 1.0)


def test_a_service_that_keeps_dying_stays_down_and_is_shown(mesh, clock):
    restarter = Restarter(mesh, clock)
    for _ in range(MAX_RESTARTS):
        mesh.services["csm"].state = State.DIED
        (exited,) = restarter.check()
        assert exited.restart is not None
        clock.now += exited.delay_s
        list(restarter.check())
    mesh.services["csm"].state = State.DIED
    (exited,) = restarter.check()
    assert exited.restart is None
    assert "stays down after 5 restarts within 5 minutes (see csm.log)" in str(exited)
    clock.now += 10 * WINDOW_S
    assert list(restarter.check()) == []
    assert mesh.started == ["csm"] * MAX_RESTARTS
    assert mesh.services["csm"].detail == "stays down"


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("[info     ] ready\n", "[info ] ready"),
        ("", ""),
        (
            "[info] ready\n2026 [error    ] no GPU  a=b\n[info] draining\n",
            "2026 [error ] no GPU a=b",
        ),
        ('{"level": "error", "event": "lost"}\n{"level": "info"}\n', '{"level": "error", "event": "lost"}'),
        ("Traceback (most recent call last):\n  File x\nMemoryError: no room\n", "MemoryError: no room"),
        ("torch.OutOfMemoryError: CUDA\n\n", "torch.OutOfMemoryError: CUDA"),
        ("Fatal Python error: Bus error\n\nThread 0x1:\n  File x\n", "Fatal Python error: Bus error"),
    ],
)
def test_the_last_error_of_a_log_is_found(tmp_path, log, said):
    service = ServiceProcess("csm", Plan({"csm": 1}, 2, {}), tmp_path / "csm.log")
    assert service.last_error() == ""  # no log yet
    service.log.write_text(log)
    assert service.last_error() == said


def test_signals_have_names():
    assert [signal_name(number) for number in (9, 11, 40)] == ["SIGKILL", "SIGSEGV", "signal 40"]


def test_readiness_is_asked_past_a_proxy(monkeypatch):
    """A proxy that is set for the world outside knows nothing of this machine's own services."""

    class Readyz(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = b'{"services": {"csm": {"state": "starting"}, "stt": {"state": "serving"}}}'
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    with http.server.HTTPServer(("127.0.0.1", 0), Readyz) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert gateway_readiness(server.server_port) == (True, ["csm"])
        server.shutdown()


SHARING = """
import mmap, os
from oviya.cli.local.process import proportional_bytes

SIZE = 64 << 20
shared = mmap.mmap(-1, SIZE)  # shared with children
for at in range(0, SIZE, mmap.PAGESIZE):
    shared[at] = 1
before = proportional_bytes(os.getpid())
ready, done = os.pipe(), os.pipe()
if os.fork() == 0:
    for at in range(0, SIZE, mmap.PAGESIZE):
        shared[at]
    os.write(ready[1], b"x")
    os.read(done[0], 1)
    os._exit(0)
os.read(ready[0], 1)
print(SIZE, before, proportional_bytes(os.getpid()))
os.write(done[1], b"x")
"""
"""Forks, which the tests' own process must not do: it has threads of gRPC and torch."""


def test_memory_that_processes_share_counts_once():
    """The share of a page that a fork has is smaller than the page: a sum of RSS would count it for each."""
    done = subprocess.run([sys.executable, "-c", SHARING], capture_output=True, text=True, timeout=60, check=True)
    size, before, both = map(int, done.stdout.split())
    assert before > size
    assert both - before < size / 2
