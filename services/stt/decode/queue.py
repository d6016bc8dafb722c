"""The queue in front of the recognizer.  Final decodes, for which somebody waits, precede drafts."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import structlog

from oviya.errors import Busy, OviyaError
from services.stt import metrics
from services.stt.recognizer import Recognizer, Request, Transcript

log = structlog.get_logger()

RETRY_AFTER_S = 2.0
"""When a caller whose decode waited too long may try again, in seconds; turns last seconds."""


@dataclass(frozen=True)
class _Job:
    make_request: Callable[[], Request]
    result: Future[Transcript] = field(default_factory=Future)
    queued_at: float = field(default_factory=time.monotonic)


class DecodeQueue:
    """Runs one recognizer for all sessions, in a thread of its own.

    Args:
        recognizer: called only by that thread.
        wait_s: longest wait of a final decode in the queue, in seconds.
    """

    def __init__(self, recognizer: Recognizer, wait_s: float) -> None:
        self._recognizer = recognizer
        self._wait_s = wait_s
        self._finals: deque[_Job] = deque()
        self._drafts: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Loads the recognizer and starts the thread; blocks.

        Raises:
            CheckpointError: a model is missing or broken.
        """
        self._recognizer.load()
        self._thread = threading.Thread(target=self._run, name="stt-decode", daemon=True)
        self._thread.start()

    def submit(self, make_request: Callable[[], Request], *, final: bool) -> Future[Transcript]:
        """Queues a decode.  Cancelling the result before it starts removes it from the queue.

        Args:
            make_request: called when the decode starts, so that a draft has the newest sound.
            final: whether it precedes drafts.

        Returns:
            The transcript.  Its exception may be `Busy`, for a final decode that waited too long, or `Unavailable`.
        """
        job = _Job(make_request)
        with self._changed:
            if self._closed:  # nobody would ever run it
                job.result.cancel()
                return job.result
            if not final:  # while finals keep the thread busy, nothing else removes them
                self._drafts = deque(draft for draft in self._drafts if not draft.result.cancelled())
            (self._finals if final else self._drafts).append(job)
            self._changed.notify()
        return job.result

    def close(self) -> None:
        """Cancels what is queued and ends the thread after its current decode."""
        with self._changed:
            self._closed = True
            for job in (*self._finals, *self._drafts):
                job.result.cancel()
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            final, jobs = batch
            if jobs:
                began = time.monotonic()
                self._decode(jobs)
                metrics.DECODE_SECONDS.labels("final" if final else "draft").observe(time.monotonic() - began)

    def _next_batch(self) -> tuple[bool, list[_Job]] | None:
        """Waits for work; returns whether it is final, and the jobs.  None: the queue was closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._finals or self._drafts)
            if self._closed:
                return None
            queue = self._finals or self._drafts
            final, jobs = queue is self._finals, []
            while queue and len(jobs) < self._recognizer.max_batch:
                job = queue.popleft()
                if job.result.set_running_or_notify_cancel() and not (final and self._is_late(job)):
                    jobs.append(job)
            return final, jobs

    def _is_late(self, job: _Job) -> bool:
        waited_s = time.monotonic() - job.queued_at
        metrics.DECODE_WAIT_SECONDS.observe(waited_s)
        if waited_s <= self._wait_s:
            return False
        metrics.DECODES_REFUSED.inc()
        job.result.set_exception(
            Busy(
                f"a decode waited longer than {self._wait_s:g} s for other speakers",
                retry_after_s=RETRY_AFTER_S,
                hint="speak again in a moment, or run more speech-to-text services",
            )
        )
        return True

    def _decode(self, jobs: list[_Job]) -> None:
        try:
            transcripts = self._recognizer.transcribe([job.make_request() for job in jobs])
        except Exception as error:  # it belongs to whoever waits for the result; the queue goes on
            if not isinstance(error, OviyaError):
                log.exception("a decode failed")
            if len(jobs) > 1:  # the sound of one session must not disturb the others
                for job in jobs:
                    self._decode([job])
            else:
                jobs[0].result.set_exception(error)
            return
        for job, transcript in zip(jobs, transcripts, strict=True):
            job.result.set_result(transcript)
