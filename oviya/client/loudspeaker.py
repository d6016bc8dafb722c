"""A buffer between the events of a conversation and a sound card, for apps that play replies."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from threading import Lock

import numpy as np

from oviya.audio.fades import fade_in, fade_out
from oviya.audio.pcm import Pcm
from oviya.client.events import (
    AudioChunk,
    ConverseEvent,
    Interrupted,
    ReplyPaused,
    ReplyResumed,
    Sentence,
    SpeakEvent,
)

FADE_S = 0.060
"""Length in seconds of the fade where a reply is cut: short enough to obey at once, long enough not to click."""
CONCEAL_S = 0.020
"""Length in seconds of what continues a sound whose next chunk is late: one to five periods of a voice."""
ONSET_S = 0.005
"""Length in seconds of the fade at the start of sound that follows a gap."""
REPORT_EVERY_S = 0.100
"""Seconds of a reply between two reports."""
REBUFFER_S, LONGEST_REBUFFER_S = 0.160, 1.280
"""Seconds of sound that are collected after the first gap of a reply, so that one late chunk does not become many gaps:
two RVQ frames.  Each further gap doubles it, up to the second value, since the voice is slower than its sound."""
_ROUNDING_S = 1e-6  # positions on the wire are rounded, and a report must not be beyond what was sent
_NOTHING = np.zeros(0, np.float32)


@dataclass(slots=True)
class _Piece:
    """Buffered sound that begins at a position of a reply; None: the fade of a reply that was cut."""

    turn: int
    position_s: float | None
    samples: Pcm


class Loudspeaker:
    """Buffers the sound of replies: events go in, blocks for the sound card come out.

    The app calls `handle` with every event and `report` about every 0.1 s; the callback of the sound card calls `read`,
    in its own thread:

        async for event in conversation:
            loudspeaker.handle(event)
            if report := loudspeaker.report():
                await conversation.played(*report)

    A reply that is paused or interrupted ends with a fade of `FADE_S`.  Where a chunk is late, the sound goes on for
    `CONCEAL_S` and fades out.

    Args:
        sample_rate_hz: rate of the sound card and of the conversation's output.
        latency_s: time from `read` until the sound is heard.
    """

    def __init__(self, sample_rate_hz: int, *, latency_s: float = 0.0) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.latency_s = latency_s
        self.underruns = 0
        """How often sound within a sentence came too late to be played without a gap."""
        self._lock = Lock()
        self._pieces: deque[_Piece] = deque()
        self._turn: int | None = None  # of the reply that is played, up to _position_s
        self._position_s = 0.0
        self._silent_s = 0.0  # silence since then
        self._stopped: int | None = None  # the turn whose sound is dropped
        self._tail = _NOTHING  # the newest sound that was read, which a late chunk makes go on
        self._ending = _NOTHING  # what remains to be played of that
        self._rebuffer_s = REBUFFER_S
        self._wanted_s = self._waited_s = 0.0  # how much sound to collect before it is read; 0: none
        self._sentence_begins = True
        self._reported: tuple[int, float] | None = None

    def handle(self, event: ConverseEvent | SpeakEvent) -> None:
        """Follows an event: buffers audio, and drops it where a reply is paused or interrupted."""
        match event:
            case AudioChunk():
                self._append(event)
            case Sentence():
                self._sentence_begins = True
            case ReplyPaused() | Interrupted():
                self.drop(event.turn)
            case ReplyResumed() if event.turn == self._stopped:
                self._stopped = None
            case _:
                pass

    def drop(self, turn: int) -> None:
        """Fades out, and ignores further sound of `turn` until it is resumed.

        `handle` calls it.  An app that sends `Conversation.interrupt` may call it at once, before the answer arrives.
        """
        fade = round(FADE_S * self.sample_rate_hz)
        with self._lock:
            rest = [piece.samples for piece in self._pieces if piece.turn == turn and piece.position_s is not None]
            self._pieces = deque(piece for piece in self._pieces if piece.turn != turn or piece.position_s is None)
            if rest and self._turn == turn and not self._silent_s:
                self._pieces.appendleft(_Piece(turn, None, fade_out(np.concatenate(rest)[:fade], fade)))
            if self._turn == turn:
                self._turn = None
            self._wanted_s = 0.0
            self._stopped = turn

    @property
    def buffered_s(self) -> float:
        """Seconds of sound that have not been read."""
        with self._lock:
            return sum(len(piece.samples) for piece in self._pieces) / self.sample_rate_hz

    @property
    def played(self) -> tuple[int, float] | None:
        """The turn of the reply that is or was played, and its position in seconds that has been heard.

        None: there was no reply yet, or the last one was cut.
        """
        with self._lock:
            if self._turn is None:
                return None
            return self._turn, max(0.0, self._position_s - max(0.0, self.latency_s - self._silent_s))

    def report(self) -> tuple[int, float] | None:
        """Returns the arguments of `Conversation.played`; None: there is nothing new to report."""
        played = self.played
        if played is None:
            return None
        played = played[0], max(0.0, played[1] - _ROUNDING_S)
        if played == self._reported:
            return None
        turn, position_s = self._reported or (None, 0.0)
        if turn == played[0] and 0 <= played[1] - position_s < REPORT_EVERY_S and not self._silent_s:
            return None
        self._reported = played
        return played

    def read(self, size: int) -> Pcm:
        """Returns the next `size` samples for the sound card, shape (size,): sound, or silence where there is none."""
        block, filled = np.zeros(size, np.float32), 0
        with self._lock:
            ending_at = 0
            held = self._hold(size / self.sample_rate_hz)
            while filled < size and self._pieces and not held:
                part = self._take(size - filled)
                block[filled : filled + len(part)] = part
                filled += len(part)
            if filled < size:
                if not self._silent_s:  # the sound ends here
                    ending_at, self._ending = filled, fade_out(self._tail[::-1], len(self._tail))
                self._silent_s += (size - filled) / self.sample_rate_hz
            now = self._ending[: size - ending_at]
            block[ending_at : ending_at + len(now)] += now
            self._ending = self._ending[len(now) :]
        return block

    def _append(self, chunk: AudioChunk) -> None:
        with self._lock:
            if chunk.turn == self._stopped or not len(chunk.samples):
                return
            samples = chunk.samples
            if not self._pieces and self._silent_s:  # there was a gap
                samples = fade_in(samples, round(ONSET_S * self.sample_rate_hz))
                if chunk.turn != self._turn:
                    self._rebuffer_s = REBUFFER_S
                elif not self._sentence_begins:
                    self.underruns += 1
                    self._wanted_s, self._waited_s = self._rebuffer_s, 0.0
                    self._rebuffer_s = min(2 * self._rebuffer_s, LONGEST_REBUFFER_S)
            self._sentence_begins = False
            self._pieces.append(_Piece(chunk.turn, chunk.position_s, samples))

    def _hold(self, block_s: float) -> bool:
        """Whether sound is being collected: until there is enough, or no more came for as long as that lasts."""
        collected_s = sum(len(piece.samples) for piece in self._pieces) / self.sample_rate_hz
        if max(collected_s, self._waited_s) >= self._wanted_s:
            self._wanted_s = 0.0
            return False
        self._waited_s += block_s
        return True

    def _take(self, size: int) -> Pcm:
        """Takes at most `size` samples from the first piece."""
        piece = self._pieces[0]
        part, piece.samples = piece.samples[:size], piece.samples[size:]
        if not len(piece.samples):
            self._pieces.popleft()
        self._silent_s = 0.0
        if piece.position_s is None:
            self._tail = _NOTHING  # it ends in silence
        else:
            piece.position_s += len(part) / self.sample_rate_hz
            self._turn, self._position_s = piece.turn, piece.position_s
            self._tail = np.concatenate([self._tail, part])[-round(CONCEAL_S * self.sample_rate_hz) :]
        return part
