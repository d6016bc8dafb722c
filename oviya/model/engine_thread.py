"""The thread that runs a model's engine, and how it ends.

Imports no gRPC and no torch.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog
from prometheus_client import Counter

from oviya.errors import NotReady
from oviya.mesh.metrics import LOOP_FAILURES
from oviya.mesh.tracebacks import describe_type

log = structlog.get_logger()


class EngineThread:
    """Runs `work` on a daemon thread until the engine is closed, its device is lost or `work` raises.

    The last two are logged and counted, and end with a call of `on_lost`: the engine cannot be used again in this
    process.  An exception that `work` raises is also counted in `oviya_loop_failures_total`.

    Args:
        name: the engine's name in messages, e.g. "CSM"; the loop's label is then "csm engine".
        work: returns soon after `closed` is set, and by then has ended every pending request.
        fail_pending: called on the thread with `closed` after `work` has raised; fails every pending request.
        device_works: returns whether the device can be used again after a failure.
        device_failures: counts failures of the device by `kind`, "passing" or "lost".
        on_lost: called on the thread, last.
    """

    def __init__(
        self,
        name: str,
        *,
        work: Callable[[], None],
        fail_pending: Callable[[NotReady], object],
        device_works: Callable[[], bool],
        device_failures: Counter,
        on_lost: Callable[[], object],
    ) -> None:
        self.wake = threading.Condition()
        """Guards `closed` and the engine's own state; notified when the engine is closed."""
        self.closed: NotReady | None = None
        """The error of later calls, once the engine is closed for any reason."""
        self.lost = False
        """Whether the device was lost or `work` raised."""
        self._name, self._loop = name, f"{name.lower()} engine"
        self._work, self._fail_pending = work, fail_pending
        self._device_works, self._device_failures = device_works, device_failures
        self._on_lost = on_lost
        self._thread = threading.Thread(target=self._run, name=self._loop.replace(" ", "-"), daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def check_open(self) -> None:
        """Call this with `wake` held before a request is added.

        Raises:
            NotReady: the engine is closed.
        """
        if self.closed is not None:
            raise self.closed

    def close(self) -> None:
        """Closes the engine and waits until the thread has ended."""
        with self.wake:
            self._close("was closed")
        self._thread.join()

    def device_failed(self, error: Exception, **fields: object) -> None:
        """Logs and counts a failure of the device; closes the engine if the device no longer works.

        Called on the thread, without `wake` held, while requests are failed by the engine itself.

        Args:
            error: what the device raised.
            fields: what else to log.
        """
        if self._device_works():
            self._device_failures.labels("passing").inc()
            log.error("a step of the engine failed", engine=self._name, exc_info=error, **fields)
            return
        self._device_failures.labels("lost").inc()
        log.error(
            "the engine's device is lost and the process ends", engine=self._name, reason=describe_type(error), **fields
        )
        with self.wake:
            self.lost = True
            self._close("has lost its device")

    def _close(self, reason: str) -> NotReady:
        """Sets `closed` unless it is set.  Call this with `wake` held."""
        self.closed = self.closed or NotReady(f"the {self._name} engine {reason}")
        self.wake.notify()
        return self.closed

    def _run(self) -> None:
        try:
            self._work()
        except BaseException:  # requests wait for this thread, whatever ended it
            log.exception("the engine's thread failed and the process ends", engine=self._name)
            LOOP_FAILURES.labels(self._loop).inc()
            with self.wake:
                self.lost = True
                closed = self._close("has failed")
            self._fail_pending(closed)
        finally:
            if self.lost:
                self._on_lost()
