"""One stream: sound in, events out.

A session always runs the voice detector, which is cheap, and decodes only during turns.  When a turn starts it needs a
recognizer (`needs_recognizer`) and buffers the sound until it gets one; it releases the recognizer when the turn ends.

Sound is resampled to 16 kHz and cut into the windows of the voice detector.  Those that belong to a turn go through the
front end to the recognizer at once.  A turn is decoded phrase by phrase: the last passes over a phrase, which
PocketSphinx needs some 30 ms for per second of sound, run while the speaker pauses, and their words decide how long the
pause may last.
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
from services.stt.endpoint.endpointing import Endpointer
from services.stt.endpoint.pitch import PitchTrack
from services.stt.endpoint.turn_state import SILENCE_PROBABILITY, SPEECH_PROBABILITY, Transition
from services.stt.endpoint.vad import WINDOW_SAMPLES, VadStream
from services.stt.engine.events import EndReason, Event, Final, LikelyEnd, Partial, Resumed, SpeechStarted, TurnEnded
from services.stt.engine.limits import TurnLimits
from services.stt.frontend.frontend import FrontEnd
from services.stt.recognizer import SAMPLE_RATE_HZ, Recognizer, Word, to_samples, to_seconds

PREROLL_WINDOWS = 10
"""Windows that are kept from before the start of speech is certain: 320 ms, of which 64 ms are the start itself.  The
first phone often precedes what the detector takes for speech, and the decoder estimates noise from what precedes
that."""
PARTIAL_EVERY_S = 0.256
"""The API promises a partial every 300 ms of speech, changed or not."""


@dataclass(frozen=True)
class _Window:
    samples: Pcm
    is_speech: bool


class Session:
    """Transcribes one stream.  Methods block, and are called one at a time.

    Args:
        vad: a new stream of the voice detector.
        front: prepares sound for the recognizer; not shared with other sessions.
        source_hz: sample rate of the sound that `push` gets.
        limits: when phrases and turns end.
        vocabulary: words and phrases that the speaker is likely to say.
    """

    def __init__(
        self, vad: VadStream, front: FrontEnd, source_hz: int, limits: TurnLimits, vocabulary: Sequence[str] = ()
    ) -> None:
        self._recognizer: Recognizer | None = None
        self._edge_hz = source_hz / 2
        self._vad = vad
        self._front = front
        self._vocabulary = vocabulary
        self._resampler = Resampler(source_hz, SAMPLE_RATE_HZ)
        self._endpointer = Endpointer(limits.end_silence, limits.phrase_silence_s, limits.end_silence_s)
        self._state = self._endpointer.state
        self._max_turn = to_samples(limits.max_turn_s)
        self._rest = np.zeros(0, np.float32)  # resampled; less than a window, or what waits for a recognizer
        self._recent: deque[_Window] = deque(maxlen=PREROLL_WINDOWS)
        self._decoded_to = 0  # position up to which sound was decoded or skipped for good
        self._phrase_start: int | None = None  # position of the open phrase's first sample
        self._words: list[Word] = []  # of the running turn's complete phrases
        self._agreement = LocalAgreement()
        self._pitch = PitchTrack()
        self._turn = 0
        self._partial_text = ""
        self._partial_sent = self._partial_decoded = 0  # positions
        self._likely_end_sent = False

    @property
    def position_s(self) -> float:
        """Sound processed so far, in seconds."""
        return to_seconds(self._state.position)

    @property
    def in_turn(self) -> bool:
        """Whether a turn has started and not ended; pauses belong to it."""
        return self._state.in_turn

    @property
    def has_recognizer(self) -> bool:
        """Whether a recognizer is attached."""
        return self._recognizer is not None

    @property
    def needs_recognizer(self) -> bool:
        """Whether a turn has started and no recognizer is attached.  Sound is buffered until `attach`."""
        return self.in_turn and self._recognizer is None

    def attach(self, recognizer: Recognizer, *, fresh: bool = True) -> list[Event]:
        """Attaches a recognizer until the turn ends, decodes the buffered sound and returns the events.

        Args:
            recognizer: used by no other session meanwhile.
            fresh: False if no other session has used it since this one did; its adaptation to the speaker is then kept.
        """
        if fresh:
            recognizer.begin_session(self._edge_hz, self._vocabulary)
        self._recognizer = recognizer
        self._begin_phrase()
        return [*self._decode_partial(), *self._process(np.zeros(0, np.float32))]

    def push(self, samples: Pcm) -> list[Event]:
        """Processes samples, shape (samples,), at the source rate; returns the events."""
        return self._process(self._resampler.push(samples))

    def flush(self) -> list[Event]:
        """Processes what is buffered at the end of the stream.  Nothing may be pushed after it."""
        rest = self._resampler.flush()
        missing = -(len(self._rest) + len(rest)) % WINDOW_SAMPLES
        return self._process(np.concatenate((rest, np.zeros(missing, np.float32))))

    def end_turn(self, reason: EndReason = EndReason.REQUESTED) -> list[Event]:
        """Ends the running turn, if there is one."""
        return self._end_turn(reason) if self.in_turn else []

    def _process(self, samples: Pcm) -> list[Event]:
        sound = np.concatenate((self._rest, samples))
        whole = len(sound) - len(sound) % WINDOW_SAMPLES
        self._rest = sound[whole:]
        events: list[Event] = []
        for start in range(0, whole, WINDOW_SAMPLES):
            if self.needs_recognizer:
                self._rest = sound[start:]
                break
            events += self._process_window(sound[start : start + WINDOW_SAMPLES])
        return events

    def _process_window(self, samples: Pcm) -> list[Event]:
        probability = self._vad.probability(samples)
        transition = self._endpointer.step(probability)
        window = _Window(samples, probability >= SPEECH_PROBABILITY)
        self._add_preroll(window)
        if probability < SILENCE_PROBABILITY:
            self._front.add_noise(samples)
        events: list[Event] = []
        if transition is Transition.STARTED:
            events.append(self._begin_turn())
        elif transition is Transition.RESUMED and self._likely_end_sent:
            self._likely_end_sent = False
            events.append(Resumed(self.position_s, self._turn))
        if window.is_speech and self._state.in_phrase:
            self._pitch.push(samples)
        if self.needs_recognizer:
            return events
        if transition is Transition.RESUMED:
            self._begin_phrase()
        elif self._phrase_start is not None:
            self._feed(window)
        if transition is Transition.PAUSED:
            events += self._pause()
        elif transition is Transition.ENDED:
            return [*events, *self._end_turn(EndReason.SILENCE)]
        if self.in_turn and self._state.position - self._state.speech_start >= self._max_turn:
            return [*events, *self._end_turn(EndReason.MAX_LENGTH)]
        if self._state.in_phrase:
            events += self._decode_partial()
        return events

    @property
    def _decoder(self) -> Recognizer:
        assert self._recognizer is not None
        return self._recognizer

    def _begin_turn(self) -> SpeechStarted:
        self._words, self._partial_text = [], ""
        self._partial_sent = self._partial_decoded = self._state.position
        self._likely_end_sent = False
        self._pitch.begin()
        return SpeechStarted(self.position_s, self._turn, to_seconds(self._state.speech_start))

    def _pause(self) -> list[Event]:
        """Ends the phrase, sends its words, and lets the endpointer decide how long the pause may last."""
        self._end_phrase()
        events: list[Event] = [*self._partial()]
        self._likely_end_sent = self._endpointer.pause(self._words, self._pitch.fall())
        if self._likely_end_sent:
            events.append(LikelyEnd(self.position_s, self._turn, self._partial_text))
        return events

    def _begin_phrase(self) -> None:
        """Begins a phrase with the preroll that no earlier phrase has had."""
        fresh = (self._state.position - self._decoded_to) // WINDOW_SAMPLES
        preroll = list(self._recent)[-fresh:]
        self._phrase_start = self._state.position - len(preroll) * WINDOW_SAMPLES
        self._agreement = LocalAgreement()
        self._decoder.begin_phrase()
        self._front.begin([window.samples for window in preroll if window.is_speech])
        for window in preroll:
            self._feed(window)

    def _add_preroll(self, window: _Window) -> None:
        """Keeps the last windows; those that no phrase has used show the front end the noise."""
        recent = self._recent
        oldest_end = self._state.position - len(recent) * WINDOW_SAMPLES
        if len(recent) == PREROLL_WINDOWS and self._phrase_start is None and oldest_end > self._decoded_to:
            self._front.prime(recent[0].samples)
        recent.append(window)

    def _feed(self, window: _Window) -> None:
        sound = self._front.push(window.samples, speech=window.is_speech)
        if len(sound):
            self._decoder.feed(sound)
        self._decoded_to = self._state.position

    def _decode_partial(self) -> list[Partial]:
        """Asks the recognizer for a hypothesis when one is due, and returns a partial."""
        position = self._state.position
        if position - self._partial_decoded < to_samples(self._decoder.partial_every_s):
            return []
        self._partial_decoded = position
        speaking = self._state.speech_end == position
        hypothesis = self._decoder.partial() if speaking else None  # in silence the phrase is about to end
        if hypothesis is not None:
            self._agreement.update(hypothesis, self.position_s)
        return self._partial(self._agreement.committed)

    def _partial(self, committed: Sequence[str] = ()) -> list[Partial]:
        """Returns a partial if its text is new or the last one was sent long ago.

        Args:
            committed: words of the open phrase, after those of the complete phrases.
        """
        position = self._state.position
        text = " ".join([*(word.text for word in self._words), *committed])
        if text == self._partial_text and position - self._partial_sent < to_samples(PARTIAL_EVERY_S):
            return []
        self._partial_text, self._partial_sent = text, position
        return [Partial(self.position_s, self._turn, text)]

    def _end_phrase(self) -> None:
        if self._phrase_start is None:
            return
        offset_s, self._phrase_start = to_seconds(self._phrase_start), None
        rest = self._front.end()
        if len(rest):
            self._decoder.feed(rest)
        committed = self._agreement.committed
        for word in merge_final(committed, self._decoder.end_phrase(committed)):
            start_s = min(offset_s + word.start_s, self.position_s)
            end_s = max(start_s, min(offset_s + word.end_s, self.position_s))
            self._words.append(replace(word, start_s=start_s, end_s=end_s))

    def _end_turn(self, reason: EndReason) -> list[Event]:
        began = time.perf_counter()
        speech_end_s = to_seconds(self._state.speech_end)
        self._state.end()
        self._end_phrase()
        final = Final(self.position_s, self._turn, tuple(self._words))
        ended = TurnEnded(self.position_s, self._turn, reason, speech_end_s)
        metrics.FINAL_SECONDS.observe(time.perf_counter() - began)
        metrics.TURNS.labels(reason.name.lower()).inc()
        self._turn += 1
        self._decoded_to = self._state.position
        self._recognizer = None
        return [final, ended]
