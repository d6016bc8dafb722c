"""Who runs: admits requests to rows and pages, feeds prompts in chunks, books frames, ends what has ended.

Pure host work on plain values; nothing here touches the device.  Not thread-safe: the engine's lock guards it.
"""

from __future__ import annotations

import heapq
import math
import time
from collections import deque

import numpy as np
import structlog
from numpy.typing import NDArray

from oviya.errors import Busy
from services.csm import metrics
from services.csm.device.contract import PromptChunk, RowStart, Sampling
from services.csm.engine.booking import Booked, Flight, Job
from services.csm.engine.pages import PagePool, page_names
from services.csm.engine.rows import Rows
from services.csm.engine.stream import FrameStream, Item
from services.csm.model.config import END_CODE, FRAME_S, PAGE, pages_for
from services.csm.request.prompt import NO_TEXT, Prompt, join_prompts
from services.csm.request.request import WORST_FIRST, Finish, GenerationEnd

log = structlog.get_logger()

SHORTEST_RETRY_S, LONGEST_RETRY_S = 0.1, 5.0
"""Bounds of the advice when to try again."""


class Scheduler:
    """All requests of an engine.

    Args:
        rows, pages: the device's.
        codebooks: Q.
        max_positions: longest prompt and answer together.
        silence_frames: see `Rows`.
        queue_s: how long a request may wait for a slot; 0 refuses it at once.
        queue_length: how many may wait.
    """

    def __init__(
        self,
        rows: int,
        pages: int,
        codebooks: int,
        max_positions: int,
        *,
        silence_frames: int,
        queue_s: float,
        queue_length: int,
    ) -> None:
        self.pool = PagePool(pages)
        self._rows = Rows(rows, codebooks, max_positions, silence_frames)
        self._pages_a_row = pages_for(max_positions)
        self._silence_frames = silence_frames
        self._queue_s, self._queue_length = queue_s, queue_length
        self._streams: list[FrameStream | None] = [None] * rows
        self._row_of: dict[FrameStream, int] = {}
        self._pages: list[list[int]] = [[] for _ in range(rows)]
        self._free = list(range(rows))  # a heap: the lowest rows go first, so that the used ones stand close
        self._jobs: dict[int, Job] = {}  # by row, oldest first
        self._queue: deque[FrameStream] = deque()
        self._starved: deque[FrameStream] = deque()  # have a row, and wait for pages for their next piece
        metrics.SLOTS.set(rows)
        metrics.KV_PAGES.set(pages)
        self._measure()

    @property
    def used(self) -> int:
        """Slots that hold a request."""
        return len(self._row_of)

    @property
    def queued(self) -> int:
        """Requests that wait for a slot."""
        return len(self._queue)

    @property
    def is_fed(self) -> bool:
        """Whether no prompt waits to be run."""
        return not self._jobs

    @property
    def speaks(self) -> bool:
        """Whether anyone makes frames."""
        return self._rows.any_stepping

    def offer(self, stream: FrameStream) -> None:
        """Gives a request a slot, or a place in the queue.

        Raises:
            Busy: there is neither.
        """
        if not self._queue and not self._starved and self._place(stream):
            self._measure()
            return
        if not self._queue_s or len(self._queue) >= self._queue_length:
            raise self._busy()
        self._queue.append(stream)
        metrics.QUEUED.set(len(self._queue))

    def withdraw(self, stream: FrameStream) -> None:
        """Ends a request that its caller has left; does nothing if it has ended."""
        if stream in self._row_of:
            self._keep_answer(stream, ended=False)
            self._release(stream)
        elif stream in self._queue:
            self._queue.remove(stream)
        else:
            return
        metrics.FINISHED.labels("cancelled").inc()
        self._refill()

    def wake_at(self) -> float:
        """When there is something to do next; infinite where only a new request brings it."""
        queue = self._queue[0].asked_at + self._queue_s if self._queue else math.inf
        return min(self._rows.wake_at(), queue)

    def expire(self, now: float) -> list[tuple[FrameStream, Item]]:
        """Refuses those who have waited for too long."""
        expired: list[tuple[FrameStream, Item]] = []
        while self._queue and self._queue[0].asked_at + self._queue_s <= now:
            expired.append((self._queue.popleft(), self._busy()))
        if expired:
            self._refill()
        return expired

    def feed(self, budget: int) -> tuple[list[RowStart], list[PromptChunk], list[Job]]:
        """The next prompt positions to run, at most `budget`, the oldest request's first."""
        starts, chunks, jobs = [], [], []
        for job in self._jobs.values():
            if not budget:
                break  # thousands may wait
            prompt = job.stream.piece.prompt
            take = min(budget, len(prompt) - 1 - job.at)
            if not job.begun:
                starts.append(RowStart(job.row, _sampling(job.stream), job.pages))
                job.begun = True
            chunks.append(PromptChunk(job.row, prompt, job.at, job.at + take))
            jobs.append(job)
            job.at += take
            budget -= take
        return starts, chunks, jobs

    def fed(self, jobs: list[Job], now: float) -> None:
        """Notes that the device was given what `feed` gave."""
        for job in jobs:
            if self._jobs.get(job.row) is not job:  # left meanwhile
                continue
            stream = job.stream
            for page, name in zip(job.pages, stream.names[: job.at // PAGE], strict=False):
                self.pool.name(page, name)
            if job.at == len(stream.piece.prompt) - 1:
                del self._jobs[job.row]
                self._rows.arm(job.row, stream.piece.max_frames)
                metrics.PREFILL_SECONDS.observe(now - job.began_at)

    def fly(self, now: float) -> Flight | None:
        """The rows whose next frame is to be made; None where nobody is due."""
        rows = self._rows.due(now)
        return Flight(rows, self._rows.epoch[rows], now) if len(rows) else None

    def book(self, flight: Flight, codes: NDArray[np.int64], now: float) -> Booked:
        """Takes the frame (N, Q) that a flight brought."""
        metrics.STEP_SECONDS.observe(now - flight.launched_at)
        live = flight.epochs == self._rows.epoch[flight.rows]
        ended = (codes == END_CODE).all(axis=1)
        spoke = live & ~ended
        rows = flight.rows[spoke]
        full, silent = self._rows.note(rows, codes[spoke], now)
        streams = [stream for row in rows.tolist() if (stream := self._streams[row]) is not None]
        booked = Booked(streams, codes[spoke])
        metrics.FRAMES.inc(len(rows))
        for index in np.flatnonzero(self._rows.made[rows] == 1):
            metrics.FIRST_FRAME_SECONDS.observe(now - streams[index].asked_at)
        for row in flight.rows[live & ended].tolist():
            self._end_piece(row, Finish.END_FRAME, now, booked)
        for index in np.flatnonzero(full | silent):
            reason = streams[index].piece.at_limit if full[index] else Finish.SILENCE
            self._end_piece(int(rows[index]), reason, now, booked)
        return booked

    def fail(self, failure: Exception) -> list[tuple[FrameStream, Item]]:
        """Ends all that holds a slot: the device does not know any more what it holds."""
        streams = list(self._row_of)
        self.pool.forget()
        for stream in streams:
            self._release(stream)
            metrics.FINISHED.labels("failed").inc()
        self._refill()
        return [(stream, failure) for stream in streams]

    def drain(self, failure: Exception) -> list[tuple[FrameStream, Item]]:
        """Ends everything, the queue too."""
        waiting = list(self._queue)
        self._queue.clear()
        metrics.FINISHED.labels("failed").inc(len(waiting))
        return self.fail(failure) + [(stream, failure) for stream in waiting]

    def _place(self, stream: FrameStream) -> bool:
        """Gives a request a row and its pages, if there are both."""
        if not self._free:
            return False
        now, piece = time.monotonic(), stream.piece
        # A text in pieces fills the model's positions before it ends.
        positions = len(piece.prompt) + piece.max_frames - 1
        count = self._pages_a_row if stream.speech.is_long else pages_for(positions)
        taken = self.pool.take(count, stream.names[: (len(piece.prompt) - 1) // PAGE])
        if taken is None:
            return False
        row = heapq.heappop(self._free)
        self._streams[row], self._row_of[stream] = stream, row
        self._rows.claim(row, stream.lead_s)
        metrics.QUEUE_SECONDS.observe(now - stream.asked_at)
        stream.cached_positions = self._start(stream, row, *taken, now)
        return True

    def _start(self, stream: FrameStream, row: int, pages: list[int], found: int, now: float) -> int:
        """Puts a piece's prompt in line; returns the positions that need not be run."""
        self._pages[row] = pages
        self._jobs[row] = Job(stream, row, pages, found * PAGE, now)
        metrics.PROMPT_POSITIONS.inc(len(stream.piece.prompt))
        metrics.PREFIX_POSITIONS.inc(found * PAGE)
        return found * PAGE

    def _end_piece(self, row: int, reason: Finish, now: float, booked: Booked) -> None:
        """Goes on with the next piece, or ends the request."""
        stream = self._streams[row]
        assert stream is not None, "a row steps for nobody"
        frames = self._rows.spoken(row)
        stream.frames += len(frames)
        stream.reasons.add(reason)
        if reason in (Finish.RUNAWAY, Finish.SILENCE):
            metrics.RUNAWAYS.inc()
        self._keep_answer(stream, ended=reason is Finish.END_FRAME)
        # What ran away would teach the next piece to do so too, and so would silence.
        heard = {Finish.RUNAWAY: 0, Finish.SILENCE: max(0, len(frames) - self._silence_frames)}.get(reason, len(frames))
        stream.speech.spoken(stream.piece, frames, heard)
        piece = stream.speech.next_piece()
        if piece is not None:
            stream.piece, stream.names = piece, page_names(piece.prompt)
            self._rows.halt(row)
            self.pool.give_back(self._pages[row])
            self._pages[row] = []
            self._starved.append(stream)
            self._continue(now)
            if stream in self._starved:
                metrics.PAGE_WAITS.inc()
                log.info("a long text waits for pages", pages=self._pages_a_row, used=self.pool.used)
            return
        self._release(stream)
        self._refill()
        worst = next(reason for reason in WORST_FIRST if reason in stream.reasons)
        dropped = stream.speech.dropped_segments
        metrics.FINISHED.labels(worst.value).inc()
        metrics.DROPPED_SEGMENTS.inc(dropped)
        end = GenerationEnd(
            reason=worst,
            frames=stream.frames,
            prompt_positions=stream.prompt_positions,
            cached_positions=stream.cached_positions,
            seed=stream.sampling.seed,
            dropped_segments=dropped,
            pieces=stream.speech.pieces,
        )
        booked.ends.append((stream, end))

    def _continue(self, now: float) -> None:
        """Gives pages to the next pieces of long texts, in the order in which they asked.

        A text gives its pages back between two pieces and takes a full row of them again.  Pages that it shared with
        other requests are not freed by that, so the pool may be too full for a moment.  Whoever waits holds no pages:
        some running request always ends and lets it go on.
        """
        while self._starved:
            stream = self._starved[0]
            names = stream.names[: (len(stream.piece.prompt) - 1) // PAGE]
            taken = self.pool.take(self._pages_a_row, names)
            if taken is None:
                return
            self._starved.popleft()
            self._start(stream, self._row_of[stream], *taken, now)

    def _keep_answer(self, stream: FrameStream, *, ended: bool) -> None:
        """Names the pages that hold the answer: the next prompt will likely begin with this one and its answer.

        The frames stand behind their text just as they do in a context.  The last one made is in the pages only if
        another step followed, as it does where an end frame came.
        """
        row = self._row_of[stream]
        if not self._rows.is_stepping(row) or not len(frames := self._rows.spoken(row)):
            return
        frames = frames if ended else frames[:-1]
        prompt = stream.piece.prompt
        answer = Prompt(np.full(len(frames), NO_TEXT, np.int64), frames)
        whole = len(stream.names) * PAGE
        rest = join_prompts((Prompt(prompt.text[whole:], prompt.codes[whole:]), answer))
        names = stream.names + page_names(rest, stream.names[-1] if stream.names else b"")
        for page, name in zip(self._pages[row], names, strict=False):
            self.pool.name(page, name)

    def _release(self, stream: FrameStream) -> None:
        row = self._row_of.pop(stream)
        if stream in self._starved:
            self._starved.remove(stream)
        self._streams[row] = None
        self._jobs.pop(row, None)
        self._rows.halt(row)
        self.pool.give_back(self._pages[row])
        self._pages[row] = []
        heapq.heappush(self._free, row)

    def _refill(self) -> None:
        """Gives what became free to those who wait: running texts first, then the queue in the order of arrival."""
        self._continue(time.monotonic())
        while self._queue and not self._starved and self._place(self._queue[0]):
            self._queue.popleft()
        self._measure()

    def _measure(self) -> None:
        metrics.SLOTS_USED.set(self.used)
        metrics.QUEUED.set(len(self._queue))
        metrics.KV_PAGES_USED.set(self.pool.used)
        metrics.KV_PAGES_KEPT.set(self.pool.kept)

    def _busy(self) -> Busy:
        """The refusal, with when the first slot should be free, if its text takes as long as texts do."""
        metrics.REJECTED.inc()
        left = [stream.speech.expected_frames - int(self._rows.made[row]) for stream, row in self._row_of.items()]
        retry_s = min(max(min(left, default=0) * FRAME_S, SHORTEST_RETRY_S), LONGEST_RETRY_S)
        what = f"{self.pool.pages} pages" if self._free else f"{len(self._streams)} slots"
        return Busy(f"all {what} are taken", retry_after_s=retry_s)


def _sampling(stream: FrameStream) -> Sampling:
    """How the piece's codes are drawn: its frames count from 0, so each piece has a seed of its own."""
    first = stream.sampling
    seed = (first.seed + stream.speech.pieces - 1) % 2**64
    return Sampling(first.temperature, first.top_k, seed)
