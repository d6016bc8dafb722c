"""An engine's thread: closing it, losing its device, and a failure of its work."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Counter

from oviya.errors import NotReady
from oviya.model.engine_thread import EngineThread

WAIT_S = 10.0


class Engine:
    """An engine whose thread runs `work`, or waits until it is closed."""

    def __init__(self, work: Callable[[Engine], None] | None = None, *, device_works: bool = True) -> None:
        self.failures = Counter("failures", "Failures", ["kind"], registry=CollectorRegistry())
        self.failed: list[NotReady] = []
        self.lost = threading.Event()
        self.thread = EngineThread(
            "TEST",
            work=lambda: (work or Engine.wait_until_closed)(self),
            fail_pending=self.failed.append,
            device_works=lambda: device_works,
            device_failures=self.failures,
            on_lost=self.lost.set,
        )
        self.thread.start()

    def wait_until_closed(self) -> None:
        with self.thread.wake:
            self.thread.wake.wait_for(lambda: self.thread.closed is not None)

    def count(self, kind: str) -> float:
        return self.failures.labels(kind)._value.get()


def loop_failures() -> float:
    return REGISTRY.get_sample_value("oviya_loop_failures_total", {"loop": "test engine"}) or 0.0


def test_closing_ends_the_thread_and_refuses_later_calls():
    engine, before = Engine(), loop_failures()
    engine.thread.check_open()
    engine.thread.close()
    engine.thread.close()
    assert not engine.thread._thread.is_alive()
    with pytest.raises(NotReady, match="the TEST engine was closed"):
        engine.thread.check_open()
    assert not engine.lost.is_set()
    assert (engine.failed, loop_failures()) == ([], before)


class Interrupted(BaseException):
    """Not even an Exception."""


@pytest.mark.parametrize("error", [AssertionError, Interrupted])
def test_work_that_raises_fails_what_is_pending_and_loses_the_engine(error: type[BaseException]):
    def work(_: Engine) -> None:
        raise error("what a user said")

    before = loop_failures()
    engine = Engine(work)
    assert engine.lost.wait(WAIT_S)
    assert engine.failed == [engine.thread.closed]
    with pytest.raises(NotReady, match="has failed") as refusal:
        engine.thread.check_open()
    assert "user" not in str(refusal.value)
    assert loop_failures() == before + 1
    engine.thread.close()


def test_the_engine_is_lost_even_where_its_requests_cannot_be_failed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    def work(engine: Engine) -> None:
        monkeypatch.setattr(engine.thread, "_fail_pending", lambda _: 1 / 0)
        raise AssertionError

    engine = Engine(work)
    assert engine.lost.wait(WAIT_S)


def test_a_lost_device_closes_the_engine():
    def work(engine: Engine) -> None:
        engine.thread.device_failed(RuntimeError("CUDA error"))
        engine.wait_until_closed()

    engine, before = Engine(work, device_works=False), loop_failures()
    assert engine.lost.wait(WAIT_S)
    with pytest.raises(NotReady, match="lost its device"):
        engine.thread.check_open()
    assert (engine.count("lost"), engine.count("passing")) == (1, 0)
    assert (engine.failed, loop_failures()) == ([], before), "the engine itself fails its requests"
    engine.thread.close()


def test_a_device_that_works_again_keeps_the_engine_open():
    failed = threading.Event()

    def work(engine: Engine) -> None:
        engine.thread.device_failed(RuntimeError("out of memory"))
        failed.set()
        engine.wait_until_closed()

    engine = Engine(work)
    assert failed.wait(WAIT_S)
    engine.thread.check_open()
    assert (engine.count("lost"), engine.count("passing")) == (0, 1)
    engine.thread.close()
    assert not engine.lost.is_set()
