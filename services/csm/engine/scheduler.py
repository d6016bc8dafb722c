"""Admits requests to rows and pages, and schedules prefills and batches.

Runs on the host only; nothing here touches the device.  Not thread-safe: the engine's lock guards it.
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
from services.csm.device.contract import PromptChunk, RowStart
from services.csm.engine.batch import Batch, BatchOutput, Output, Prefill
from services.csm.engine.pages import PagePool, page_hashes
from services.csm.engine.rows import Rows
from services.csm.engine.sequence import NO_ROW, Sequence
from services.csm.model.config import END_CODE, FRAME_S, PAGE, pages_for
from services.csm.request.prompt import NO_TEXT, Prompt, join_prompts
from services.csm.request.request import FinishReason

log = structlog.get_logger()

MIN_RETRY_S, MAX_RETRY_S = 0.1, 5.0
"""Bounds of the time after which a refused caller is advised to try again."""


class Scheduler:
    """All requests of an engine.

    Args:
        rows, pages: the device's.
        codebooks: Q.
        max_positions: of a prompt and its answer together.
        silence_frames: see `Rows`.
        queue_s: how long a request may wait for a slot; 0 refuses it at once.
        queue_length: requests that may wait.
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
        self._max_pages = pages_for(max_positions)
        self._silence_frames = silence_frames
        self._queue_s, self._queue_length = queue_s, queue_length
        self._by_row: list[Sequence | None] = [None] * rows
        self._free_rows = list(range(rows))  # a heap: low rows first, because the device runs rows up to the highest
        self._prefills: dict[Sequence, Prefill] = {}  # oldest first
        self._queue: deque[Sequence] = deque()
        self._awaiting_pages: deque[Sequence] = deque()  # have a row and need pages for their next piece
        metrics.SLOTS.set(rows)
        metrics.KV_PAGES.set(pages)
        self._update_metrics()

    @property
    def used(self) -> int:
        """Slots in use."""
        return len(self._by_row) - len(self._free_rows)

    @property
    def queued(self) -> int:
        """Requests that wait for a slot."""
        return len(self._queue)

    @property
    def has_prefills(self) -> bool:
        """Whether a prompt is still to be run."""
        return bool(self._prefills)

    @property
    def is_decoding(self) -> bool:
        """Whether any row makes frames."""
        return self._rows.any_decoding

    def add(self, sequence: Sequence) -> None:
        """Admits a request to a slot or to the queue.

        Raises:
            Busy: both are full.
        """
        if not self._queue and not self._awaiting_pages and self._admit(sequence):
            self._update_metrics()
            return
        if not self._queue_s or len(self._queue) >= self._queue_length:
            raise self._busy()
        self._queue.append(sequence)
        metrics.QUEUED.set(len(self._queue))

    def abort(self, sequence: Sequence) -> None:
        """Ends a request that its caller has cancelled; does nothing if it has ended."""
        if sequence.row != NO_ROW:
            self._cache_answer(sequence, ended=False)
            self._release(sequence)
        elif sequence in self._queue:
            self._queue.remove(sequence)
        else:
            return
        metrics.FINISHED.labels("cancelled").inc()
        self._admit_waiting()

    def wake_at(self) -> float:
        """When there is something to do next; infinite if only a new request brings it."""
        queue = self._queue[0].arrived_at + self._queue_s if self._queue else math.inf
        return min(self._rows.wake_at(), queue)

    def expire(self, now: float) -> list[Output]:
        """Refuses requests that have waited for too long."""
        expired: list[Output] = []
        while self._queue and self._queue[0].arrived_at + self._queue_s <= now:
            expired.append((self._queue.popleft(), self._busy()))
        if expired:
            self._admit_waiting()
        return expired

    def schedule_prefill(self, budget: int) -> tuple[list[RowStart], list[PromptChunk], list[Prefill]]:
        """The next positions of prompts to run, at most `budget`, the oldest request's first."""
        starts, chunks, scheduled = [], [], []
        for sequence, prefill in self._prefills.items():
            if not budget:
                break  # thousands may wait
            prompt, start = sequence.piece.prompt, prefill.position
            stop = min(start + budget, len(prompt) - 1)
            if not prefill.row_started:
                starts.append(RowStart(sequence.row, sequence.piece_sampling, sequence.pages))
                prefill.row_started = True
            chunks.append(PromptChunk(sequence.row, prompt, start, stop))
            scheduled.append(prefill)
            prefill.position = stop
            budget -= stop - start
        return starts, chunks, scheduled

    def update_prefill(self, scheduled: list[Prefill], now: float) -> None:
        """Records that the device was given what `schedule_prefill` returned."""
        for prefill in scheduled:
            sequence = prefill.sequence
            if self._prefills.get(sequence) is not prefill:  # cancelled meanwhile
                continue
            for page, page_hash in zip(sequence.pages, sequence.hashes[: prefill.position // PAGE], strict=False):
                self.pool.cache(page, page_hash)
            if prefill.position == len(sequence.piece.prompt) - 1:
                del self._prefills[sequence]
                self._rows.start_piece(sequence.row, sequence.piece.max_frames)
                metrics.PREFILL_SECONDS.observe(now - prefill.started_at)

    def schedule(self, now: float) -> Batch | None:
        """The rows whose next frame is to be made; None if no row is due."""
        rows = self._rows.due(now)
        return Batch(rows, self._rows.epoch[rows], now) if len(rows) else None

    def update(self, batch: Batch, codes: NDArray[np.int64], now: float) -> BatchOutput:
        """Adds a batch's codes (N, Q) to its sequences, and ends those that are complete."""
        metrics.STEP_SECONDS.observe(now - batch.scheduled_at)
        live = batch.epochs == self._rows.epoch[batch.rows]
        ended = (codes == END_CODE).all(axis=1)
        made = live & ~ended
        rows = batch.rows[made]
        full, silent = self._rows.update(rows, codes[made], now)
        sequences = [sequence for row in rows.tolist() if (sequence := self._by_row[row]) is not None]
        output = BatchOutput(sequences, codes[made])
        metrics.FRAMES.inc(len(rows))
        for index in np.flatnonzero(self._rows.frames[rows] == 1):
            metrics.FIRST_FRAME_SECONDS.observe(now - sequences[index].arrived_at)
        for row in batch.rows[live & ended].tolist():
            sequence = self._by_row[row]
            assert sequence is not None, "a row decodes without a sequence"
            self._end_piece(sequence, FinishReason.END_FRAME, output)
        for index in np.flatnonzero(full | silent):
            sequence = sequences[index]
            self._end_piece(sequence, sequence.piece.limit_reason if full[index] else FinishReason.SILENCE, output)
        return output

    def fail_running(self, failure: Exception) -> list[Output]:
        """Ends every request that holds a slot: the content of the device's memory is no longer known."""
        running = [sequence for sequence in self._by_row if sequence is not None]
        self.pool.clear_cache()
        for sequence in running:
            self._release(sequence)
            metrics.FINISHED.labels("failed").inc()
        self._admit_waiting()
        return [(sequence, failure) for sequence in running]

    def fail_all(self, failure: Exception) -> list[Output]:
        """Ends every request, also those in the queue."""
        queued = list(self._queue)
        self._queue.clear()
        metrics.FINISHED.labels("failed").inc(len(queued))
        return self.fail_running(failure) + [(sequence, failure) for sequence in queued]

    def _admit(self, sequence: Sequence) -> bool:
        """Gives a request a row and pages; False if there are too few."""
        piece = sequence.piece
        # A text of several pieces fills the model's positions before it ends.
        positions = len(piece.prompt) + piece.max_frames - 1
        pages = self._max_pages if sequence.planner.is_long else pages_for(positions)
        if not self._free_rows or not self._start_prefill(sequence, pages):
            return False
        sequence.row = row = heapq.heappop(self._free_rows)
        self._by_row[row] = sequence
        self._rows.start(row, sequence.lead_s)
        sequence.cached_positions = self._prefills[sequence].position
        metrics.QUEUE_SECONDS.observe(time.monotonic() - sequence.arrived_at)
        return True

    def _start_prefill(self, sequence: Sequence, pages: int) -> bool:
        """Allocates pages for a piece and queues its prefill; False if there are too few."""
        allocated = self.pool.allocate(pages, sequence.prefix_hashes)
        if allocated is None:
            return False
        sequence.pages, cached = allocated
        self._prefills[sequence] = Prefill(sequence, cached * PAGE, time.monotonic())
        metrics.PROMPT_POSITIONS.inc(len(sequence.piece.prompt))
        metrics.PREFIX_POSITIONS.inc(cached * PAGE)
        return True

    def _end_piece(self, sequence: Sequence, reason: FinishReason, output: BatchOutput) -> None:
        """Continues with the next piece, or ends the request."""
        frames = self._rows.piece_frames(sequence.row)
        sequence.frames += len(frames)
        sequence.reasons.add(reason)
        if reason in (FinishReason.RUNAWAY, FinishReason.SILENCE):
            metrics.RUNAWAYS.inc()
        self._cache_answer(sequence, ended=reason is FinishReason.END_FRAME)
        # A runaway or silence in the context would make the next piece do the same.
        usable = len(frames)
        if reason is FinishReason.RUNAWAY:
            usable = 0
        elif reason is FinishReason.SILENCE:
            usable = max(0, usable - self._silence_frames)
        sequence.planner.record(sequence.piece, frames, usable)
        if sequence.next_piece():
            self._rows.stop(sequence.row)
            self._free_pages(sequence)
            self._awaiting_pages.append(sequence)
            self._continue_pieces()
            if sequence in self._awaiting_pages:
                metrics.PAGE_WAITS.inc()
                log.info("a long text waits for pages", pages=self._max_pages, used=self.pool.used)
            return
        self._release(sequence)
        self._admit_waiting()
        end = sequence.end()
        metrics.FINISHED.labels(end.reason.value).inc()
        metrics.DROPPED_SEGMENTS.inc(end.dropped_segments)
        output.ends.append((sequence, end))

    def _continue_pieces(self) -> None:
        """Allocates pages for the next pieces of long texts, first come, first served.

        A text frees its pages between two pieces and allocates a full row of them again.  Pages that it shared with
        other requests stay in use, so the pool may be too full for a moment.  A request that waits holds no pages, so
        some running request always ends and lets it continue.
        """
        while self._awaiting_pages and self._start_prefill(self._awaiting_pages[0], self._max_pages):
            self._awaiting_pages.popleft()

    def _cache_answer(self, sequence: Sequence, *, ended: bool) -> None:
        """Caches the pages that hold the answer: the next prompt likely begins with this prompt and its answer.

        The frames follow their text as they do in a context.  The last frame is in the pages only if another step
        followed it, as is the case if an end frame came.
        """
        if not self._rows.is_decoding(sequence.row) or not len(frames := self._rows.piece_frames(sequence.row)):
            return
        frames = frames if ended else frames[:-1]
        prompt, hashes = sequence.piece.prompt, sequence.hashes
        answer = Prompt(np.full(len(frames), NO_TEXT, np.int64), frames)
        hashed = len(hashes) * PAGE
        rest = join_prompts((Prompt(prompt.text[hashed:], prompt.codes[hashed:]), answer))
        hashes = hashes + page_hashes(rest, hashes[-1] if hashes else b"")
        for page, page_hash in zip(sequence.pages, hashes, strict=False):
            self.pool.cache(page, page_hash)

    def _release(self, sequence: Sequence) -> None:
        """Takes back a sequence's row and pages."""
        if sequence in self._awaiting_pages:
            self._awaiting_pages.remove(sequence)
        self._prefills.pop(sequence, None)
        self._free_pages(sequence)
        self._rows.stop(sequence.row)
        self._by_row[sequence.row] = None
        heapq.heappush(self._free_rows, sequence.row)
        sequence.row = NO_ROW

    def _free_pages(self, sequence: Sequence) -> None:
        self.pool.free(sequence.pages)
        sequence.pages = []

    def _admit_waiting(self) -> None:
        """Gives what is free to requests that wait: long texts first, then the queue in the order of arrival."""
        self._continue_pieces()
        while self._queue and not self._awaiting_pages and self._admit(self._queue[0]):
            self._queue.popleft()
        self._update_metrics()

    def _update_metrics(self) -> None:
        metrics.SLOTS_USED.set(self.used)
        metrics.QUEUED.set(len(self._queue))
        metrics.KV_PAGES_USED.set(self.pool.used)
        metrics.KV_PAGES_KEPT.set(self.pool.cached)

    def _busy(self) -> Busy:
        """A refusal that says when the first slot should be free, if its text takes as long as expected."""
        metrics.REJECTED.inc()
        remaining = [
            sequence.planner.expected_frames - int(self._rows.frames[row])
            for row, sequence in enumerate(self._by_row)
            if sequence is not None
        ]
        retry_s = min(max(min(remaining, default=0) * FRAME_S, MIN_RETRY_S), MAX_RETRY_S)
        what = f"{self.pool.pages} pages" if self._free_rows else f"{len(self._by_row)} slots"
        return Busy(f"all {what} are taken", retry_after_s=retry_s)
