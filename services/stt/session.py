"""One session: sound in, events out.

Sound is resampled to 16 kHz and cut into the windows of the voice detector; what lies in a turn is decoded at once.
A turn is decoded phrase by phrase.  PocketSphinx needs some 30 ms for the last passes over a second of sound, and
they run while the speaker pauses: when the pause has grown long enough to end the turn, its words are already there.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from oviya.audio.pcm import Pcm
from oviya.audio.resample import Resampler
from services.stt import metrics
from services.stt.events import EndReason, Event, Final, Partial, SpeechStarted, TurnEnded
from services.stt.recognizer import SAMPLE_RATE_HZ, Recognizer, Word
from services.stt.turns import Edge, TurnDetector
from services.stt.vad import WINDOW_SAMPLES, VadStream

PREROLL_WINDOWS = 10
"""Windows heard before the start of speech is certain: 320 ms, of which 64 ms are the start itself.  The first phone
often precedes what the detector takes for speech, and the decoder estimates noise from what precedes that."""
PARTIAL_EVERY_SAMPLES = 8 * WINDOW_SAMPLES
"""256 ms: callers are promised a partial every 300 ms of speech."""


@dataclass(frozen=True)
class TurnLimits:
    """When phrases and turns end, in seconds."""

    phrase_silence_s: float
    end_silence_s: float
    max_turn_s: float


class Session:
    """Transcribes one stream.  Methods block, and are called from one thread.

    Args:
        recognizer: decodes; this session alone uses it.
        vad: a fresh stream of the voice detector.
        source_hz: rate of the sound that `push` takes.
        limits: when phrases and turns end.
    """

    def __init__(self, recognizer: Recognizer, vad: VadStream, source_hz: int, limits: TurnLimits) -> None:
        self._recognizer = recognizer
        self._edge_hz = source_hz / 2
        self._vad = vad
        self._resampler = Resampler(source_hz, SAMPLE_RATE_HZ)
        self._detector = TurnDetector(_samples(limits.phrase_silence_s), _samples(limits.end_silence_s))
        self._max_turn = _samples(limits.max_turn_s)
        self._rest = np.zeros(0, np.float32)  # resampled, less than a window
        self._recent: deque[Pcm] = deque(maxlen=PREROLL_WINDOWS)
        self._decoded_to = 0  # position up to which sound has gone to the recognizer or been passed over for good
        self._phrase_start: int | None = None  # position of the open phrase's first sample
        self._words: list[Word] = []  # of the running turn's complete phrases
        self._turn = 0
        self._last_partial = 0

    @property
    def position_s(self) -> float:
        """Sound heard so far, in seconds."""
        return self._detector.position / SAMPLE_RATE_HZ

    def begin(self) -> None:
        """Makes the recognizer ready.  Called once, first."""
        self._recognizer.begin_session(self._edge_hz)

    def push(self, samples: Pcm) -> list[Event]:
        """Hears samples, shape (samples,), at the source rate; returns what happened."""
        return self._hear(self._resampler.push(samples))

    def end_turn(self) -> list[Event]:
        """Ends the running turn, if there is one."""
        return self._end_turn(EndReason.REQUESTED) if self._detector.in_turn else []

    def finish(self, reason: EndReason = EndReason.STREAM_END) -> list[Event]:
        """Ends the stream and with it the running turn.  Nothing may be pushed after it."""
        events = self._hear(self._resampler.flush())
        if len(self._rest):
            events += self._hear(np.zeros(WINDOW_SAMPLES - len(self._rest), np.float32))
        if self._detector.in_turn:
            events += self._end_turn(reason)
        return events

    def _hear(self, samples: Pcm) -> list[Event]:
        sound = np.concatenate((self._rest, samples))
        whole = len(sound) - len(sound) % WINDOW_SAMPLES
        self._rest = sound[whole:]
        events: list[Event] = []
        for start in range(0, whole, WINDOW_SAMPLES):
            events += self._hear_window(sound[start : start + WINDOW_SAMPLES])
        return events

    def _hear_window(self, window: Pcm) -> list[Event]:
        edge = self._detector.step(self._vad.probability(window))
        self._recent.append(window)
        events: list[Event] = []
        if edge is Edge.STARTED:
            self._words, self._last_partial = [], self._detector.position
            events.append(SpeechStarted(self.position_s, self._turn, _seconds(self._detector.speech_start)))
        if edge in (Edge.STARTED, Edge.RESUMED):
            self._begin_phrase()
        elif self._phrase_start is not None:
            self._feed(window)
        if edge is Edge.PAUSED:
            self._end_phrase()
        elif edge is Edge.ENDED:
            return [*events, *self._end_turn(EndReason.SILENCE)]
        if self._detector.in_turn and self._detector.position - self._detector.speech_start >= self._max_turn:
            return [*events, *self._end_turn(EndReason.MAX_LENGTH)]
        if self._detector.in_phrase and self._detector.position - self._last_partial >= PARTIAL_EVERY_SAMPLES:
            self._last_partial = self._detector.position
            events.append(self._partial())
        return events

    def _begin_phrase(self) -> None:
        """Opens a phrase with the sound before it that no earlier phrase has had."""
        fresh = (self._detector.position - self._decoded_to) // WINDOW_SAMPLES
        preroll = list(self._recent)[-fresh:]
        self._phrase_start = self._detector.position - len(preroll) * WINDOW_SAMPLES
        self._recognizer.begin_phrase()
        self._feed(np.concatenate(preroll))

    def _feed(self, samples: Pcm) -> None:
        self._recognizer.feed(samples)
        self._decoded_to = self._detector.position

    def _partial(self) -> Partial:
        words = [word.text for word in self._words]
        return Partial(self.position_s, self._turn, " ".join((*words, *self._recognizer.partial().split())))

    def _end_phrase(self) -> None:
        if self._phrase_start is None:
            return
        offset_s, self._phrase_start = _seconds(self._phrase_start), None
        for word in self._recognizer.end_phrase():
            start_s = min(offset_s + word.start_s, self.position_s)
            end_s = max(start_s, min(offset_s + word.end_s, self.position_s))
            self._words.append(replace(word, start_s=start_s, end_s=end_s))

    def _end_turn(self, reason: EndReason) -> list[Event]:
        decided = time.perf_counter()
        speech_end_s = _seconds(self._detector.speech_end)
        self._detector.end()
        self._end_phrase()
        final = Final(self.position_s, self._turn, tuple(self._words))
        ended = TurnEnded(self.position_s, self._turn, reason, speech_end_s)
        metrics.FINAL_SECONDS.observe(time.perf_counter() - decided)
        metrics.TURNS.labels(reason.name.lower()).inc()
        self._turn += 1
        self._decoded_to = self._detector.position
        return [final, ended]


def _samples(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE_HZ)


def _seconds(samples: int) -> float:
    return samples / SAMPLE_RATE_HZ
