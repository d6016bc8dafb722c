"""Batches the work of the engine's streams: one batcher decodes, another encodes.

The engine's lock guards a batcher's bookkeeping; its model and state are used by the engine's thread alone.
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
"""A stream lasts for an utterance, a few seconds; with several of them, one ends about this soon."""


@dataclass
class Job:
    """Input of one stream, of any number of frames.

    Attributes:
        slot: the stream's.
        prepare: makes the input on the engine's thread, shape (T, Q) of codes or (T, 1920) of samples.
        codebooks: Q of the stream.
        future: receives the output.
        frames: the input, once prepared.
        done: frames that have been stepped.
        outputs: their outputs.
        outcome: what the future will receive; None before `finished` is set, and if the caller cancelled the job.
        finished: whether the job needs no further step.
    """

    slot: int
    prepare: Callable[[], NDArray[Any]]
    codebooks: int
    future: Future[NDArray[Any]] = field(default_factory=Future)
    frames: NDArray[Any] | None = None
    done: int = 0
    outputs: list[NDArray[Any]] = field(default_factory=list)
    outcome: NDArray[Any] | Exception | None = None
    finished: bool = False

    @property
    def left(self) -> int:
        """Frames still to step; 0 before `prepare`."""
        return 0 if self.frames is None else len(self.frames) - self.done

    def finish(self, outcome: NDArray[Any] | Exception | None) -> None:
        """Sets the outcome; `deliver` passes it to the caller."""
        self.outcome, self.finished = outcome, True

    def deliver(self) -> None:
        """Resolves the future.  Its callbacks may close the stream or open another."""
        if isinstance(self.outcome, Exception):
            self.future.set_exception(self.outcome)
        elif self.outcome is not None:
            self.future.set_result(self.outcome)

    def fail(self, error: Exception) -> None:
        """Resolves the future with `error` unless it is resolved or cancelled already."""
        with suppress(InvalidStateError):
            self.future.set_exception(error)


class Batcher(ABC):
    """Assigns slots to streams, queues their jobs and runs steps over all streams that have one.

    Args:
        direction: "decode" or "encode", for messages and metrics.
        model: both directions' model.
        state: state of the streams of this direction.
        slots: most streams at once.
    """

    def __init__(self, direction: str, model: Mimi, state: StreamState, slots: int) -> None:
        self.direction = direction
        self.slots = slots
        self._model, self._state = model, state
        self._graphs: StepGraphs | None = None
        self._free = list(range(slots))  # a heap: low slots first keeps the used ones adjacent
        self._queues: dict[int, deque[Job]] = {}
        self._releasing: set[int] = set()  # streams that were closed during the current step
        self._unreset: set[int] = set()  # slots that still hold the state of their last stream
        self._stepping: set[int] = set()
        self._failure: Exception | None = None
        metrics.STREAMS.labels(direction).set(slots)
        self._used = metrics.STREAMS_USED.labels(direction)
        self._used.set(0)

    @abstractmethod
    def record_graphs(self) -> None:
        """Runs steps of one frame as CUDA graphs from now on.  Call it before the first stream, on a GPU."""

    # Bookkeeping, under the engine's lock.

    @property
    def used(self) -> int:
        """Open streams."""
        return len(self._queues)

    @property
    def ready(self) -> bool:
        """Whether any job is queued."""
        return any(self._queues.values())

    def admit(self) -> int:
        """Assigns a slot to a new stream.

        Raises:
            Busy: every slot is taken.
        """
        if not self._free:
            metrics.REJECTED.labels(self.direction).inc()
            raise Busy(f"all {self.slots} {self.direction} streams are in use", retry_after_s=RETRY_AFTER_S)
        slot = heapq.heappop(self._free)
        self._queues[slot] = deque()
        self._unreset.add(slot)
        self._used.set(self.used)
        return slot

    def submit(self, job: Job) -> None:
        """Queues a job for its stream."""
        self._queues[job.slot].append(job)

    def release(self, slot: int) -> None:
        """Frees a slot and cancels its jobs, at once or at the end of the step that includes it."""
        if slot in self._stepping:
            self._releasing.add(slot)
            return
        _cancel(self._queues.pop(slot))
        heapq.heappush(self._free, slot)
        self._used.set(self.used)

    def end_all(self, error: Exception | None = None) -> None:
        """Fails every queued job with `error`; cancels them if it is None."""
        for queue in self._queues.values():
            if error is None:
                _cancel(queue)
            else:
                for job in queue:
                    job.fail(error)
            queue.clear()

    def start_step(self) -> list[Job]:
        """Returns the next job of every stream that has one; they are the engine thread's until `finish_step`."""
        jobs = [queue[0] for _, queue in sorted(self._queues.items()) if queue]
        self._stepping = {job.slot for job in jobs}
        return jobs

    def finish_step(self) -> list[Job]:
        """Frees the slots that were released during the step.  Returns the finished jobs, which are to be delivered."""
        queues = [self._queues[slot] for slot in self._stepping]
        finished = [queue.popleft() for queue in queues if queue[0].finished]
        self._stepping = set()
        for slot in self._releasing:
            self.release(slot)
        self._releasing = set()
        return finished

    # Work, on the engine's thread.

    def pop_failure(self) -> Exception | None:
        """Returns what failed since the last call, or None."""
        failure, self._failure = self._failure, None
        return failure

    def step(self, jobs: list[Job], max_frames: int) -> None:
        """Runs one step over `jobs`, as returned by `start_step`, and finishes those that are complete.

        All rows of a step have the length of the shortest job: a live stream has one frame at a time, and a long clip
        must not delay it.
        """
        running = [job for job in jobs if self._begin(job)]
        if not running:
            return
        frames = min(max_frames, *(job.left for job in running))
        started = time.perf_counter()
        try:
            outputs = self._run(running, frames)
        except Exception as error:  # every caller of the step must receive it
            self._failure = error
            for job in running:
                job.finish(error)
            return
        metrics.STEP_SECONDS.labels(self.direction).observe(time.perf_counter() - started)
        metrics.STEP_ROWS.labels(self.direction).observe(len(running))
        metrics.FRAMES.labels(self.direction).inc(frames * len(running))
        for job, output in zip(running, outputs, strict=True):
            if isinstance(output, Exception):
                job.finish(output)
                continue
            job.outputs.append(output)
            job.done += frames
            if not job.left:
                job.finish(np.concatenate(job.outputs))

    def _begin(self, job: Job) -> bool:
        """Prepares a job before its first step; returns False if there is nothing to step."""
        if job.frames is not None:
            return True
        if not job.future.set_running_or_notify_cancel():
            job.finish(None)
            return False
        try:
            if job.slot in self._unreset:
                self._reset(job.slot)
                self._unreset.discard(job.slot)
            job.frames = job.prepare()
        except Exception as error:
            self._failure = error
            job.finish(error)
            return False
        if len(job.frames) == 0:
            job.finish(self._empty_output(job))
        return len(job.frames) > 0

    def _reset(self, slot: int) -> None:
        """Prepares `slot` for a new stream."""
        self._state.reset(slot)

    @abstractmethod
    def _run(self, jobs: list[Job], frames: int) -> Sequence[NDArray[Any] | Exception]:
        """Steps the model over the next `frames` frames of each job; returns an output or an error for each job."""

    @abstractmethod
    def _empty_output(self, job: Job) -> NDArray[Any]:
        """The output for an input of no frames."""


def _cancel(jobs: Iterable[Job]) -> None:
    for job in jobs:
        if not job.future.cancel():  # it is running
            job.future.set_exception(NotReady("the stream was closed"))
