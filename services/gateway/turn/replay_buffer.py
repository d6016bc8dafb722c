"""The session's sound for speech-to-text, kept as long as it may have to be sent again."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass

CHUNK_S = 1.0
"""Longest sound in one message, in seconds: sending sound again should take few messages."""
MERGE_S = 0.1
"""Small messages that wait are merged into messages of about this length, in seconds."""
MIN_CHUNK_S = 0.01
"""Shortest sound in one message, in seconds, so that a caller that sends single samples does not cause a message for
each.  It is shorter than a window of speech-to-text and therefore delays no event."""
MARK_GRAIN_S = 0.1
"""Marks with less sound between them, in seconds, are merged: no turn is that short."""
ARRIVAL_GRAIN_S = 0.01
"""Resolution of arrival times, in seconds of sound."""
ARRIVALS = 12_000
"""Smallest number of arrival times to keep: two minutes of sound, longer than any turn."""


@dataclass(frozen=True)
class Chunk:
    """Sound, or a mark that requests the end of the turn.

    Args:
        start: position of the first sample in the session.
        data: whole samples; None for a mark.
    """

    start: int
    data: bytes | None


class ReplayBuffer:
    """Keeps sound until the turn that it belongs to has ended.

    All sound is in one buffer, whatever the sizes of the messages that it came in, so the cost of an operation is that
    of the sound that it returns.  Positions are samples since the first of the session, unless their name ends in _s
    (seconds).  Times are the event loop's, in seconds.

    Args:
        sample_bytes: bytes of a sample.
        sample_rate_hz: samples a second.
        limit_s: most sound to keep, in seconds; older sound is dropped.
    """

    def __init__(self, sample_bytes: int, sample_rate_hz: int, limit_s: float) -> None:
        self._sample_bytes = sample_bytes
        self._rate_hz = sample_rate_hz
        self._limit = round(limit_s * sample_rate_hz)
        self._chunk_samples = max(1, round(CHUNK_S * sample_rate_hz))
        self._sound = bytearray()  # CPython deletes from its front without moving the rest
        self._start = 0  # position of the first sample in the buffer
        self._end = 0
        self._sent = 0  # position of the first sample that has not been sent
        self._cuts: deque[int] = deque()  # starts of the messages after the next one
        self._marks: list[int] = []  # positions in ascending order, at most one for every `MARK_GRAIN_S` of the sound
        self._marks_sent = 0
        self._arrival_ends: list[int] = []
        self._arrival_times: list[float] = []

    @property
    def has_unsent(self) -> bool:
        """Whether there is sound or a mark to send."""
        return self._sent < self._end or self._marks_sent < len(self._marks)

    def add_sound(self, data: bytes, arrived: float) -> float:
        """Adds whole samples; returns the seconds of older, unsent sound that were dropped to make room."""
        if not data:
            return 0.0
        if self._end - (self._cuts[-1] if self._cuts else self._sent) >= MERGE_S * self._rate_hz:
            self._cuts.append(self._end)
        self._sound += data
        self._end += len(data) // self._sample_bytes
        if not self._arrival_ends or self._end - self._arrival_ends[-1] >= ARRIVAL_GRAIN_S * self._rate_hz:
            self._arrival_ends.append(self._end)
            self._arrival_times.append(arrived)
            if len(self._arrival_ends) > 2 * ARRIVALS:  # half at a time: constant cost on average
                del self._arrival_ends[:ARRIVALS], self._arrival_times[:ARRIVALS]
        lost = max(0, self._end - self._limit - max(self._sent, self._start))
        self._drop_before(self._end - self._limit)
        return lost / self._rate_hz

    def add_mark(self) -> None:
        """Adds a request for the end of the turn.

        A second one at the same position has no effect.  One that follows another by less than `MARK_GRAIN_S` replaces
        it.
        """
        if self._marks:
            since = self._end - self._marks[-1]
            if since == 0:
                return
            if since < MARK_GRAIN_S * self._rate_hz:
                self._marks.pop()
                self._marks_sent = min(self._marks_sent, len(self._marks))
        self._marks.append(self._end)

    def next_unsent(self, *, flush: bool = False) -> Chunk | None:
        """Returns what to send next, or None.  It counts as sent from now on.

        Args:
            flush: include sound that is shorter than `MIN_CHUNK_S`, because no more follows.
        """
        mark = self._marks[self._marks_sent] if self._marks_sent < len(self._marks) else None
        if mark is not None and mark <= self._sent:
            self._marks_sent += 1
            return Chunk(mark, None)
        while self._cuts and self._cuts[0] <= self._sent:
            self._cuts.popleft()
        cut = self._cuts[0] if self._cuts else self._end
        end = min(self._end if mark is None else mark, cut, self._sent + self._chunk_samples)
        if end == self._sent or (end - self._sent < MIN_CHUNK_S * self._rate_hz and mark is None and not flush):
            return None
        chunk = Chunk(self._sent, self._slice(self._sent, end))
        self._sent = end
        return chunk

    def rewind(self) -> float:
        """Marks everything in the buffer as unsent; returns the position of its start in seconds."""
        self._sent, self._marks_sent = self._start, 0
        return self._start / self._rate_hz

    def between(self, start_s: float, end_s: float) -> bytes:
        """Returns the sound between two positions in seconds, as far as it is in the buffer."""
        start, end = round(start_s * self._rate_hz), round(end_s * self._rate_hz)
        return self._slice(max(start, self._start), min(end, self._end))

    def since(self, start_s: float) -> bytes:
        """Returns the sound from a position in seconds on, as far as it is in the buffer."""
        return self._slice(max(round(start_s * self._rate_hz), self._start), self._end)

    def forget_sent(self, before_s: float) -> None:
        """Drops sent sound before a position in seconds."""
        self._drop_before(min(round(before_s * self._rate_hz), self._sent))

    def forget_older_than(self, age_s: float) -> None:
        """Drops sent sound, except the newest `age_s` seconds."""
        self.forget_sent(self._end / self._rate_hz - age_s)

    def clear(self) -> None:
        """Drops everything."""
        self._sound.clear()
        self._start = self._sent = self._end
        self._cuts.clear()
        self._marks.clear()
        self._marks_sent = 0

    def time_of(self, position_s: float) -> float:
        """Returns when the sound at a position in seconds arrived; beyond the end, when the last sound did.

        Raises:
            LookupError: there has been no sound.
        """
        if not self._arrival_ends:
            raise LookupError("there has been no sound")
        index = bisect_left(self._arrival_ends, position_s * self._rate_hz)
        return self._arrival_times[min(index, len(self._arrival_times) - 1)]

    def _slice(self, start: int, end: int) -> bytes:
        if start >= end:
            return b""
        first, last = (start - self._start) * self._sample_bytes, (end - self._start) * self._sample_bytes
        return bytes(memoryview(self._sound)[first:last])

    def _drop_before(self, position: int) -> None:
        """Drops the sound before a position, and the marks that have no sound left to end."""
        if position > self._start:
            del self._sound[: (position - self._start) * self._sample_bytes]
            self._start = position
            self._sent = max(self._sent, position)
        gone = bisect_left(self._marks, self._start)
        while gone < self._marks_sent and self._marks[gone] == self._start:  # it ended the sound before it
            gone += 1
        if gone:
            del self._marks[:gone]
            self._marks_sent = max(0, self._marks_sent - gone)
