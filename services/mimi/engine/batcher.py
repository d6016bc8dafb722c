"""A direction of the engine: which stream is in which slot, what waits for it, one step over all that is ready.

The engine's lock guards the bookkeeping; the model and its states belong to the engine's worker thread alone.
"""

from __future__ import annotations

import heapq
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from oviya.errors import Busy, NotReady
from services.mimi import metrics
from services.mimi.model.mimi import Mimi, StreamState

if TYPE_CHECKING:
    from services.mimi.model.gpu.graphs import StepGraphs

RETRY_AFTER_S = 1.0
"""A slot is held for an utterance, a few seconds at its most; one of several comes free about this soon."""


@dataclass
class Job:
    """Something that one stream wants done.

    Attributes:
        slot: the stream's.
        prepare: makes the input on the worker thread, shape (T, Q) of codes or (T, 1920) of samples.
        codebooks: Q of the stream.
        future: gets the output.
        frames: the input, once prepared.
        done: frames that have been stepped.
        outputs: their outputs.
        outcome: what the future will get; None until then, and for a job that its caller cancelled.
        over: whether the worker is through with it.
    """

    slot: int
    prepare: Callable[[], NDArray[Any]]
    codebooks: int
    future: Future[NDArray[Any]] = field(default_factory=Future)
    frames: NDArray[Any] | None = None
    done: int = 0
    outputs: list[NDArray[Any]] = field(default_factory=list)
    outcome: NDArray[Any] | Exception | None = None
    over: bool = False

    @property
    def left(self) -> int:
        """Frames still to step; 0 before `prepare`."""
        return 0 if self.frames is None else len(self.frames) - self.done

    def end(self, outcome: NDArray[Any] | Exception | None) -> None:
        """Settles what the caller will get."""
        self.outcome, self.over = outcome, True

    def deliver(self) -> None:
        """Gives it to the caller, who may close the stream or open another in that very moment."""
        if isinstance(self.outcome, Exception):
            self.future.set_exception(self.outcome)
        elif self.outcome is not None:
            self.future.set_result(self.outcome)

    def fail(self, failure: Exception) -> None:
        """Gives the caller `failure`, unless the job was delivered or cancelled."""
        with suppress(InvalidStateError):
            self.future.set_exception(failure)


class Lane(ABC):
    """One direction.

    Args:
        direction: its name in messages and metrics.
        model: both halves.
        state: of its streams.
        slots: how many streams it takes.
    """

    def __init__(self, direction: str, model: Mimi, state: StreamState, slots: int) -> None:
        self.direction = direction
        self.slots = slots
        self._model, self._state = model, state
        self._graphs: StepGraphs | None = None
        self._free = list(range(slots))  # a heap: low slots first keeps the running ones neighbours
        self._queues: dict[int, deque[Job]] = {}
        self._leaving: set[int] = set()
        self._fresh: set[int] = set()
        self._stepping: set[int] = set()
        self._failure: Exception | None = None
        metrics.STREAMS.labels(direction).set(slots)
        self._used = metrics.STREAMS_USED.labels(direction)
        self._used.set(0)

    @abstractmethod
    def record(self) -> None:
        """Runs steps of one frame as CUDA graphs from now on; before the first stream, and on a GPU."""

    # Bookkeeping, under the engine's lock.

    @property
    def used(self) -> int:
        """Streams that are open."""
        return len(self._queues)

    @property
    def ready(self) -> bool:
        """Whether anything waits to be done."""
        return any(self._queues.values())

    def admit(self) -> int:
        """Gives a slot to a new stream.

        Raises:
            Busy: every slot is taken.
        """
        if not self._free:
            metrics.REJECTED.labels(self.direction).inc()
            raise Busy(f"all {self.slots} {self.direction} streams are in use", retry_after_s=RETRY_AFTER_S)
        slot = heapq.heappop(self._free)
        self._queues[slot] = deque()
        self._fresh.add(slot)
        self._used.set(self.used)
        return slot

    def submit(self, job: Job) -> None:
        """Queues a job for its stream."""
        self._queues[job.slot].append(job)

    def leave(self, slot: int) -> None:
        """Takes the slot back, at once or at the end of the step that runs it; what it waited for is cancelled."""
        if slot in self._stepping:
            self._leaving.add(slot)
            return
        _drop(self._queues.pop(slot))
        heapq.heappush(self._free, slot)
        self._used.set(self.used)

    def abandon(self, failure: Exception | None = None) -> None:
        """Ends all that waits, with a failure or as cancelled: the engine ends."""
        for queue in self._queues.values():
            if failure is None:
                _drop(queue)
            else:
                _fail(queue, failure)
            queue.clear()

    def take(self) -> list[Job]:
        """The next job of every stream that has one; they are the worker's until `put_back`."""
        jobs = [queue[0] for _, queue in sorted(self._queues.items()) if queue]
        self._stepping = {job.slot for job in jobs}
        return jobs

    def put_back(self) -> list[Job]:
        """Ends a step: streams that left meanwhile leave; the jobs that are over are returned, to be delivered."""
        queues = [self._queues[slot] for slot in self._stepping]
        over = [queue.popleft() for queue in queues if queue[0].over]
        self._stepping = set()
        for slot in self._leaving:
            self.leave(slot)
        self._leaving = set()
        return over

    # Work, on the worker thread.

    def take_failure(self) -> Exception | None:
        """What broke since the last call, if anything did."""
        failure, self._failure = self._failure, None
        return failure

    def step(self, jobs: list[Job], most: int) -> None:
        """Runs one step over the jobs that `take` gave, `most` frames at most, and ends those that are complete.

        All rows of a step have one length, that of the shortest: a stream that is played live has one frame at a time,
        and nobody's long clip makes it wait for more.
        """
        running = [job for job in jobs if self._begin(job)]
        if not running:
            return
        frames = min(most, *(job.left for job in running))
        started = time.perf_counter()
        try:
            outputs = self._run(running, frames)
        except Exception as error:  # whatever broke, each caller must hear of it
            self._failure = error
            for job in running:
                job.end(error)
            return
        metrics.STEP_SECONDS.labels(self.direction).observe(time.perf_counter() - started)
        metrics.STEP_ROWS.labels(self.direction).observe(len(running))
        metrics.FRAMES.labels(self.direction).inc(frames * len(running))
        for job, output in zip(running, outputs, strict=True):
            if isinstance(output, Exception):
                job.end(output)
                continue
            job.outputs.append(output)
            job.done += frames
            if not job.left:
                job.end(np.concatenate(job.outputs))

    def _begin(self, job: Job) -> bool:
        """Prepares a job at its first step; False where there is nothing to step."""
        if job.frames is not None:
            return True
        if not job.future.set_running_or_notify_cancel():
            job.end(None)
            return False
        try:
            if job.slot in self._fresh:
                self._reset(job.slot)
                self._fresh.discard(job.slot)
            job.frames = job.prepare()
        except Exception as error:
            self._failure = error
            job.end(error)
            return False
        if len(job.frames) == 0:
            job.end(self._nothing(job))
        return len(job.frames) > 0

    def _reset(self, slot: int) -> None:
        """A stream begins in `slot`."""
        self._state.reset(slot)

    @abstractmethod
    def _run(self, jobs: list[Job], frames: int) -> Sequence[NDArray[Any] | Exception]:
        """Steps the model over the next `frames` frames of each job; one output a job, or what went wrong with it."""

    @abstractmethod
    def _nothing(self, job: Job) -> NDArray[Any]:
        """The output of no frames."""


def _drop(jobs: Iterable[Job]) -> None:
    for job in jobs:
        if not job.future.cancel():  # it had begun
            job.future.set_exception(NotReady("the stream was closed"))


def _fail(jobs: Iterable[Job], failure: Exception) -> None:
    for job in jobs:
        job.fail(failure)
