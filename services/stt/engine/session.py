"""One session: sound in, events out.

A session hears all the time, which costs little, and decodes only during turns.  When a turn starts it asks for a
recognizer (`needs_recognizer`) and keeps the sound until it gets one; between turns it needs none.

Sound is resampled to 16 kHz and cut into the windows of the voice detector; what lies in a turn goes through the front
end to the recognizer at once.  A turn is decoded phrase by phrase.  PocketSphinx needs some 30 ms for the last passes
over a second of sound, and they run while the speaker pauses.  Their words then say how long that pause may become.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from oviya.audio.pcm import Pcm
from oviya.audio.resample import Resampler
from services.stt import metrics
from services.stt.decode.agreement import LocalAgreement, merge_final
from services.stt.endpoint.endpointing import LIKELY_SCORE, RESTART_S, Endpointing, EndSilence, completeness
from services.stt.endpoint.pitch import PitchTrack
from services.stt.endpoint.turn_state import SILENCE_PROBABILITY, SPEECH_PROBABILITY, Transition, TurnStateMachine
from services.stt.endpoint.vad import WINDOW_SAMPLES, VadStream
from services.stt.engine.events import EndReason, Event, Final, LikelyEnd, Partial, Resumed, SpeechStarted, TurnEnded
from services.stt.frontend.frontend import FrontEnd
from services.stt.recognizer import SAMPLE_RATE_HZ, Recognizer, Word

PREROLL_WINDOWS = 10
"""Windows heard before the start of speech is certain: 320 ms, of which 64 ms are the start itself.  The first phone
often precedes what the detector takes for speech, and the decoder estimates noise from what precedes that."""
PARTIAL_EVERY_S = 0.256
"""Callers are promised a partial every 300 ms of speech, changed or not."""


@dataclass(frozen=True)
class TurnLimits:
    """When phrases and turns end, in seconds: after `end_silence_s` where it is set, else after a silence that depends
    on what was said and who speaks."""

    phrase_silence_s: float
    end_silence: EndSilence
    max_turn_s: float
    end_silence_s: float | None = None


@dataclass(frozen=True)
class _Heard:
    """A window and whether it is speech."""

    window: Pcm
    speech: bool


class Session:
    """Transcribes one stream.  Methods block, and are called one at a time.

    Args:
        vad: a fresh stream of the voice detector.
        front: prepares sound for the recognizer; this session alone uses it.
        source_hz: rate of the sound that `push` takes.
        limits: when phrases and turns end.
        vocabulary: words and phrases that the speaker is likely to say.
    """

    def __init__(
        self,
        vad: VadStream,
        front: FrontEnd,
        source_hz: int,
        limits: TurnLimits,
        vocabulary: Sequence[str] = (),
    ) -> None:
        self._recognizer: Recognizer | None = None
        self._keep = False  # the recognizer, after the turn
        self._edge_hz = source_hz / 2
        self._vad = vad
        self._front = front
        self._vocabulary = vocabulary
        self._resampler = Resampler(source_hz, SAMPLE_RATE_HZ)
        self._endpointing = Endpointing(limits.end_silence)
        self._fixed_end = limits.end_silence_s
        longest_s = limits.end_silence.longest_s if self._fixed_end is None else self._fixed_end
        self._longest_end = _samples(longest_s)
        self._detector = TurnStateMachine(_samples(min(limits.phrase_silence_s, longest_s)), self._longest_end)
        self._max_turn = _samples(limits.max_turn_s)
        self._rest = np.zeros(0, np.float32)  # resampled; less than a window, or what waits for a recognizer
        self._recent: deque[_Heard] = deque(maxlen=PREROLL_WINDOWS)
        self._decoded_to = 0  # position up to which sound has gone to the recognizer or been passed over for good
        self._phrase_start: int | None = None  # position of the open phrase's first sample
        self._words: list[Word] = []  # of the running turn's complete phrases
        self._agreement = LocalAgreement()
        self._pitch = PitchTrack()
        self._turn = 0
        self._partial_text = ""
        self._partial_told = self._partial_asked = 0  # positions
        self._told_likely = False
        self._silence_ended_at: int | None = None  # end of the last speech of a turn that silence ended

    @property
    def position_s(self) -> float:
        """Sound heard so far, in seconds."""
        return self._detector.position / SAMPLE_RATE_HZ

    @property
    def in_turn(self) -> bool:
        """Whether somebody speaks, or pauses within a turn."""
        return self._detector.in_turn

    @property
    def has_recognizer(self) -> bool:
        """Whether a recognizer is held."""
        return self._recognizer is not None

    @property
    def needs_recognizer(self) -> bool:
        """Whether a turn has started and nothing decodes it: nothing more is heard until `attach`."""
        return self.in_turn and self._recognizer is None

    def attach(self, recognizer: Recognizer, *, fresh: bool = True, keep: bool = False) -> list[Event]:
        """Takes a recognizer, hears what has waited for it, and returns what happened.

        Args:
            recognizer: this session alone uses it until the turn ends.
            keep: whether it is used for all later turns too.
            fresh: False where it has heard nobody else since this session's last turn, so what it knows of the speaker
                may stay.
        """
        if fresh:
            recognizer.begin_session(self._edge_hz, self._vocabulary)
        started, self._recognizer, self._keep = self.needs_recognizer, recognizer, keep
        events: list[Event] = []
        if started:
            self._begin_phrase()
            events += self._partial()
        return events + self._hear(np.zeros(0, np.float32))

    def push(self, samples: Pcm) -> list[Event]:
        """Hears samples, shape (samples,), at the source rate; returns what happened."""
        return self._hear(self._resampler.push(samples))

    def flush(self) -> list[Event]:
        """Hears the rest of a stream that is over.  Nothing may be pushed after it."""
        rest = self._resampler.flush()
        missing = -(len(self._rest) + len(rest)) % WINDOW_SAMPLES
        return self._hear(np.concatenate((rest, np.zeros(missing, np.float32))))

    def end_turn(self, reason: EndReason = EndReason.REQUESTED) -> list[Event]:
        """Ends the running turn, if there is one."""
        return self._end_turn(reason) if self._detector.in_turn else []

    def finish(self, reason: EndReason = EndReason.STREAM_END) -> list[Event]:
        """Ends the stream and with it the running turn, for a session that has a recognizer."""
        return self.flush() + self.end_turn(reason)

    def _hear(self, samples: Pcm) -> list[Event]:
        sound = np.concatenate((self._rest, samples))
        whole = len(sound) - len(sound) % WINDOW_SAMPLES
        self._rest = sound[whole:]
        events: list[Event] = []
        for start in range(0, whole, WINDOW_SAMPLES):
            if self.needs_recognizer:
                self._rest = sound[start:]
                break
            events += self._hear_window(sound[start : start + WINDOW_SAMPLES])
        return events

    def _hear_window(self, window: Pcm) -> list[Event]:
        probability = self._vad.probability(window)
        edge = self._detector.step(probability)
        self._remember(_Heard(window, probability >= SPEECH_PROBABILITY))
        if probability < SILENCE_PROBABILITY:
            self._front.hear_pause(window)
        events: list[Event] = []
        if edge is Transition.STARTED:
            events.append(self._begin_turn())
        elif edge is Transition.RESUMED:
            events += self._go_on()
        if self._recent[-1].speech and self._detector.in_phrase:
            self._pitch.push(window)
        if self.needs_recognizer:
            return events
        if edge in (Transition.STARTED, Transition.RESUMED):
            self._begin_phrase()
        elif self._phrase_start is not None:
            self._feed(self._recent[-1])
        if edge is Transition.PAUSED:
            events += self._pause()
        elif edge is Transition.ENDED:
            self._silence_ended_at = self._detector.speech_end
            return [*events, *self._end_turn(EndReason.SILENCE)]
        if self._detector.in_turn and self._detector.position - self._detector.speech_start >= self._max_turn:
            return [*events, *self._end_turn(EndReason.MAX_LENGTH)]
        if self._detector.in_phrase:
            events += self._partial()
        return events

    @property
    def _decoder(self) -> Recognizer:
        assert self._recognizer is not None
        return self._recognizer

    def _begin_turn(self) -> SpeechStarted:
        start = self._detector.speech_start
        if self._silence_ended_at is not None and start - self._silence_ended_at < _samples(RESTART_S):
            self._endpointing.went_on_after(_seconds(start - self._silence_ended_at))
        self._words, self._partial_text = [], ""
        self._partial_told = self._partial_asked = self._detector.position
        self._told_likely = False
        self._pitch.begin()
        return SpeechStarted(self.position_s, self._turn, _seconds(start))

    def _go_on(self) -> list[Event]:
        """The speaker goes on after a pause."""
        self._endpointing.went_on_after(_seconds(self._detector.pause))
        told, self._told_likely = self._told_likely, False
        return [Resumed(self.position_s, self._turn)] if told else []

    def _pause(self) -> list[Event]:
        """Tells the words before the pause, which are known now, and decides how long it may become."""
        self._end_phrase()
        events: list[Event] = [*self._tell_partial()]
        fall = self._pitch.fall()
        if self._fixed_end is None:
            self._detector.end_silence = _samples(self._endpointing.silence_s(self._words, fall))
        self._told_likely = bool(self._words) and completeness(self._words, fall) >= LIKELY_SCORE
        if self._told_likely:
            events.append(LikelyEnd(self.position_s, self._turn, self._partial_text))
        return events

    def _begin_phrase(self) -> None:
        """Opens a phrase with the sound before it that no earlier phrase has had."""
        fresh = (self._detector.position - self._decoded_to) // WINDOW_SAMPLES
        recent = list(self._recent)[-fresh:]
        self._phrase_start = self._detector.position - len(recent) * WINDOW_SAMPLES
        self._detector.end_silence = self._longest_end
        self._agreement = LocalAgreement()
        self._decoder.begin_phrase()
        self._front.begin([heard.window for heard in recent if heard.speech])
        for heard in recent:
            self._feed(heard)

    def _remember(self, heard: _Heard) -> None:
        """Keeps the preroll; what leaves it unused tells the front end of the noise."""
        recent = self._recent
        oldest_end = self._detector.position - len(recent) * WINDOW_SAMPLES
        if len(recent) == PREROLL_WINDOWS and self._phrase_start is None and oldest_end > self._decoded_to:
            self._front.prime(recent[0].window)
        recent.append(heard)

    def _feed(self, heard: _Heard) -> None:
        sound = self._front.push(heard.window, speech=heard.speech)
        if len(sound):
            self._decoder.feed(sound)
        self._decoded_to = self._detector.position

    def _partial(self) -> list[Partial]:
        """Asks for the words so far where it is time to; tells them where they are new, or the last are long ago."""
        position = self._detector.position
        if position - self._partial_asked < _samples(self._decoder.partial_every_s):
            return []
        self._partial_asked = position
        speaking = self._detector.speech_end == position
        heard = self._decoder.partial() if speaking else None  # in a silence the last decode is near
        if heard is not None:
            self._agreement.update(heard, self.position_s)
        return self._tell_partial(self._agreement.committed)

    def _tell_partial(self, committed: Sequence[str] = ()) -> list[Partial]:
        """Tells the complete phrases' words and what is `committed` of the open one."""
        position = self._detector.position
        text = " ".join([*(word.text for word in self._words), *committed])
        if text == self._partial_text and position - self._partial_told < _samples(PARTIAL_EVERY_S):
            return []
        self._partial_text, self._partial_told = text, position
        return [Partial(self.position_s, self._turn, text)]

    def _end_phrase(self) -> None:
        if self._phrase_start is None:
            return
        offset_s, self._phrase_start = _seconds(self._phrase_start), None
        rest = self._front.end()
        if len(rest):
            self._decoder.feed(rest)
        committed = self._agreement.committed
        for word in merge_final(committed, self._decoder.end_phrase(committed)):
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
        if not self._keep:
            self._recognizer = None
        return [final, ended]


def _samples(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE_HZ)


def _seconds(samples: int) -> float:
    return samples / SAMPLE_RATE_HZ
