"""The session's sound on its way to speech-to-text, kept for as long as it may have to be sent again."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

MERGE_S = 0.1
"""Small pieces that wait are sent as one of about this length in seconds."""
ARRIVAL_GRAIN_S = 0.01
"""Arrival times are kept for every 10 ms of sound."""
ARRIVALS = 12_000
"""Arrival times that are kept: two minutes of sound, longer than any turn."""


@dataclass
class Piece:
    """Sound, or a mark that asks for the end of the turn.

    Args:
        start: position of its first sample in the session.
        data: whole samples; None for a mark.
    """

    start: int
    data: bytearray | None


class Tape:
    """Remembers sound from when it comes until the turn that it belongs to has ended.

    Positions are samples since the session's first, times are the event loop's, in seconds.

    Args:
        sample_bytes: bytes in a sample.
        sample_rate_hz: samples a second.
        limit_s: sound that is kept at most, in seconds; older sound is dropped.
    """

    def __init__(self, sample_bytes: int, sample_rate_hz: int, limit_s: float) -> None:
        self._sample_bytes = sample_bytes
        self._rate_hz = sample_rate_hz
        self._limit = round(limit_s * sample_rate_hz)
        self._pieces: deque[Piece] = deque()
        self._sent = 0  # pieces at the front that have been sent
        self._end = 0
        self._arrivals: deque[tuple[int, float]] = deque(maxlen=ARRIVALS)  # end position, time

    @property
    def has_unsent(self) -> bool:
        """Whether anything waits to be sent."""
        return self._sent < len(self._pieces)

    def add_sound(self, data: bytes, arrived: float) -> float:
        """Adds whole samples; returns the length in seconds of older sound that was dropped unsent to make room."""
        if not data:
            return 0.0
        last = self._pieces[-1] if self.has_unsent else None
        if last is not None and last.data is not None and len(last.data) < self._bytes(MERGE_S):
            last.data += data
        else:
            self._pieces.append(Piece(self._end, bytearray(data)))
        self._end += len(data) // self._sample_bytes
        if not self._arrivals or self._end - self._arrivals[-1][0] >= ARRIVAL_GRAIN_S * self._rate_hz:
            self._arrivals.append((self._end, arrived))
        return self._make_room()

    def add_mark(self) -> None:
        """Adds a request for the end of the turn."""
        self._pieces.append(Piece(self._end, None))

    def next_unsent(self) -> Piece | None:
        """Returns what is to be sent next, or None; it counts as sent from now on."""
        if not self.has_unsent:
            return None
        self._sent += 1
        return self._pieces[self._sent - 1]

    def rewind(self) -> float:
        """Starts again with everything that is kept; returns the position in seconds at which that starts."""
        self._sent = 0
        return (self._pieces[0].start if self._pieces else self._end) / self._rate_hz

    def between(self, start_s: float, end_s: float) -> bytes:
        """Returns the sound between two positions in seconds, as far as it is kept."""
        start, end = round(start_s * self._rate_hz), round(end_s * self._rate_hz)
        parts: list[bytearray] = []
        for index, piece in enumerate(self._pieces):
            first, last = max(start, piece.start), min(end, self._piece_end(index))
            if piece.data is not None and first < last:
                bounds = slice((first - piece.start) * self._sample_bytes, (last - piece.start) * self._sample_bytes)
                parts.append(piece.data[bounds])
        return b"".join(parts)

    def forget_sent(self, before_s: float) -> None:
        """Drops what was sent and lies wholly before a position in seconds."""
        before = round(before_s * self._rate_hz)
        while self._sent and self._piece_end(0) <= before:
            self._drop_first()

    def forget_older_than(self, age_s: float) -> None:
        """Drops what was sent, except the newest `age_s` seconds of sound."""
        self.forget_sent(self._end / self._rate_hz - age_s)

    def clear(self) -> None:
        """Drops everything."""
        self._pieces.clear()
        self._sent = 0

    def time_of(self, position_s: float) -> float:
        """Returns when the sound at a position in seconds came; of sound that never came, when the last did.

        Raises:
            LookupError: there has been no sound.
        """
        if not self._arrivals:
            raise LookupError("there has been no sound")
        position, found = position_s * self._rate_hz, self._arrivals[-1][1]
        for end, arrived in reversed(self._arrivals):
            if end < position:
                break
            found = arrived
        return found

    def _make_room(self) -> float:
        lost = 0
        while self._end - self._pieces[0].start > self._limit and len(self._pieces) > 1:
            if not self._sent:
                lost += self._piece_end(0) - self._pieces[0].start
            self._drop_first()
        return lost / self._rate_hz

    def _drop_first(self) -> None:
        self._pieces.popleft()
        self._sent = max(self._sent - 1, 0)

    def _piece_end(self, index: int) -> int:
        piece = self._pieces[index]
        return piece.start + len(piece.data or b"") // self._sample_bytes

    def _bytes(self, seconds: float) -> int:
        return round(seconds * self._rate_hz) * self._sample_bytes
