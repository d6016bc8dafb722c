"""One stream: sound in, events out.

A session runs the voice detector on every window of sound and decodes only turns.  It does no decode itself: where it
cannot go on without the result of one, it stops and buffers the sound (`awaited`) until that has finished.  So the same
sound gives the same turns, however fast it arrives and however busy the machine is.

The final decode of a turn starts with the first 32 ms of silence.  After 200 ms its words decide, with the melody of
speech, how long the silence must last to end the turn; if the speaker goes on, the decode is discarded.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np

from oviya.audio.pcm import Pcm
from oviya.audio.resample import Resampler
from services.stt import metrics
from services.stt.decode.words import text_of, without_closing
from services.stt.endpoint.endpointing import Endpointer
from services.stt.endpoint.pitch import PitchTrack
from services.stt.endpoint.smart_turn import LANGUAGES as SMART_TURN_LANGUAGES
from services.stt.endpoint.smart_turn import WINDOW_SAMPLES as SMART_TURN_SAMPLES
from services.stt.endpoint.smart_turn import SmartTurn
from services.stt.endpoint.turn_state import SPEECH_PROBABILITY, Transition
from services.stt.endpoint.vad import WINDOW_SAMPLES, VadStream
from services.stt.engine.events import (
    EndReason,
    Event,
    Final,
    LikelyEnd,
    Partial,
    Resumed,
    SpeechStarted,
    SpeechStopped,
    TurnEnded,
)
from services.stt.engine.limits import TurnLimits
from services.stt.engine.segment import Decodes, Segment
from services.stt.recognizer import SAMPLE_RATE_HZ, Word, to_samples, to_seconds

PREROLL_WINDOWS = 10
"""Windows that are kept from before the start of speech is certain: 320 ms, of which 64 ms are the start itself.  The
first phone often precedes what the detector takes for speech."""
PARTIAL_EVERY_S = 0.256
"""The API promises a partial at least every 300 ms of speech, changed or not."""
SEGMENT_S = 12.0
"""A segment of this length ends at the next pause; longer ones would delay their final decodes."""
MAX_SEGMENT_S, OVERLAP_S = 28.0, 1.0
"""A segment of this length ends in the middle of speech; words that end in its last second are decoded again with what
follows.  Whisper's window has 30 s."""


@dataclass(frozen=True)
class _Window:
    samples: Pcm
    is_speech: bool


class Session:
    """Transcribes one stream.  Methods are called one at a time.

    Args:
        vad: a new stream of the voice detector.
        smart_turn: tells from the sound whether a turn is over.
        source_hz: sample rate of the sound that `push` gets.
        limits: when turns end.
        decodes: runs the decodes.
        vocabulary: words and phrases that the speaker is likely to say.
        clock: returns the seconds of a monotonic clock.
    """

    def __init__(
        self,
        vad: VadStream,
        smart_turn: SmartTurn,
        source_hz: int,
        limits: TurnLimits,
        decodes: Decodes,
        vocabulary: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._vad = vad
        self._smart_turn = smart_turn
        self._decodes = decodes
        self._vocabulary = vocabulary
        self._clock = clock
        self._resampler = Resampler(source_hz, SAMPLE_RATE_HZ)
        self._endpointer = Endpointer(limits.end_silence, limits.phrase_silence_s, limits.end_silence_s)
        self._state = self._endpointer.state
        self._max_turn = to_samples(limits.max_turn_s)
        self._rest = np.zeros(0, np.float32)  # resampled; less than a window, or what waits for a decode
        self._recent: deque[_Window] = deque(maxlen=SMART_TURN_SAMPLES // WINDOW_SAMPLES)
        self._heard_to = 0  # position up to which sound belongs to a segment, or was skipped for good
        self._segment: Segment | None = None
        self._words: list[Word] = []  # of the turn's complete segments
        self._language = ""
        self._known_language: str | None = None  # of the session
        self._pitch = PitchTrack()
        self._turn_end: float | None = None  # Smart Turn's probability
        self._turn = 0
        self._partial_text = ""
        self._partial_sent = 0  # position
        self._ending: tuple[EndReason, float, float] | None = None  # reason, end of speech, clock
        self._awaited: Future[Any] | None = None
        self._then: Callable[[], list[Event]] | None = None

    @property
    def position_s(self) -> float:
        """Sound processed so far, in seconds."""
        return to_seconds(self._state.position)

    @property
    def in_turn(self) -> bool:
        """Whether a turn has started, and its end was not yet returned; pauses belong to it."""
        return self._state.in_turn or self._ending is not None

    @property
    def awaited(self) -> Future[Any] | None:
        """The decode without which the session cannot go on; call `proceed` when it is done."""
        return self._awaited

    def push(self, samples: Pcm) -> list[Event]:
        """Processes samples, shape (samples,), at the source rate; returns the events.

        Raises:
            Busy: a decode waited too long.
            Unavailable: the model broke.
        """
        return self._process(self._resampler.push(samples))

    def flush(self) -> list[Event]:
        """Processes what is buffered at the end of the stream.  Nothing may be pushed after it.  Raises as `push`."""
        rest = self._resampler.flush()
        missing = -(len(self._rest) + len(rest)) % WINDOW_SAMPLES
        return self._process(np.concatenate((rest, np.zeros(missing, np.float32))))

    def end_turn(self, reason: EndReason = EndReason.REQUESTED) -> list[Event]:
        """Ends the running turn, if there is one; its events may need an `awaited` decode.  Raises as `push`."""
        if not self._state.in_turn:
            return []
        return self._end_turn(reason) + self.proceed()

    def proceed(self) -> list[Event]:
        """Goes on after the awaited decode; returns the events.  Raises as `push`."""
        return self._process(np.zeros(0, np.float32))

    def close(self) -> None:
        """Cancels the decodes of an unfinished turn."""
        if self._segment is not None:
            self._segment.close()

    def _process(self, samples: Pcm) -> list[Event]:
        sound = np.concatenate((self._rest, samples))
        events: list[Event] = []
        start = 0
        while True:
            if self._then is not None and self._awaited is not None:
                if not self._awaited.done():
                    break
                then, self._then, self._awaited = self._then, None, None
                events += then()
            elif len(sound) - start >= WINDOW_SAMPLES:
                start += WINDOW_SAMPLES
                events += self._process_window(sound[start - WINDOW_SAMPLES : start])
            else:
                break
        self._rest = sound[start:]
        return events

    def _await(self, decode: Future[Any], then: Callable[[], list[Event]]) -> None:
        """Lets `_process` call `then` when the decode is done, before it processes another window."""
        self._awaited, self._then = decode, then

    def _process_window(self, samples: Pcm) -> list[Event]:
        probability = self._vad.probability(samples)
        transition = self._endpointer.step(probability)
        window = _Window(samples, probability >= SPEECH_PROBABILITY)
        self._recent.append(window)
        events: list[Event] = []
        if transition is Transition.STARTED:
            events.append(self._begin_turn())
        elif transition is Transition.RESUMED:
            events.append(Resumed(self.position_s, self._turn))
        if self._segment is not None:
            self._feed(self._segment, window)
        elif transition in (Transition.STARTED, Transition.RESUMED):
            self._segment = self._begin_segment()
        if window.is_speech and self._state.in_phrase:
            self._pitch.push(samples)
        return events + self._follow(transition)

    def _follow(self, transition: Transition | None) -> list[Event]:
        """Does what a window calls for: decodes, partials, the end of the turn."""
        segment, state = self._segment, self._state
        if transition is Transition.ENDED:
            return self._end_turn(EndReason.SILENCE)
        if state.in_turn and state.position - state.speech_start >= self._max_turn:
            return self._end_turn(EndReason.MAX_LENGTH)
        if segment is None:
            return []
        if transition is Transition.RESUMED:
            segment.drop_final()
        if transition is Transition.HESITATED:
            segment.begin_final()
        elif transition is Transition.PAUSED:
            self._turn_end = self._smart_turn.probability(self._turn_sound())  # while the decode runs
            self._await(segment.begin_final(), self._pause)
            return [SpeechStopped(self.position_s, self._turn, to_seconds(state.speech_end))]
        elif segment.length >= to_samples(MAX_SEGMENT_S):
            self._await(segment.begin_final(), self._split_segment)
        elif state.in_phrase:
            if state.speech_end == state.position:  # in silence a final decode runs already
                segment.draft()
            return list[Event](self._partial())
        return []

    def _begin_turn(self) -> SpeechStarted:
        self._words, self._partial_text, self._language = [], "", ""
        self._partial_sent = self._state.position
        self._pitch.begin()
        return SpeechStarted(self.position_s, self._turn, to_seconds(self._state.speech_start))

    def _pause(self) -> list[Event]:
        """Lets the endpointer decide how long the pause may last."""
        assert self._segment is not None
        words, language = [*self._words, *self._segment.words()], self._segment.language
        if self._segment.length >= to_samples(SEGMENT_S):
            self._end_segment()
        events: list[Event] = [*self._partial()]
        turn_end = self._turn_end if language in SMART_TURN_LANGUAGES else None
        if self._endpointer.pause(words, self._pitch.fall(), turn_end, language):
            events.append(LikelyEnd(self.position_s, self._turn, tuple(words), language))
        return events

    def _turn_sound(self) -> Pcm:
        """Returns the end of the turn's sound, as much of it as Smart Turn reads, with the silence after it."""
        windows = (self._state.position - self._state.speech_start) // WINDOW_SAMPLES
        return np.concatenate([window.samples for window in list(self._recent)[-windows:]])

    def _split_segment(self) -> list[Event]:
        assert self._segment is not None
        words, self._segment = self._segment.split(OVERLAP_S)
        self._words += words
        return list[Event](self._partial())

    def _begin_segment(self) -> Segment:
        """Begins a segment with the preroll that belongs to no earlier one."""
        fresh = min(PREROLL_WINDOWS, (self._state.position - self._heard_to) // WINDOW_SAMPLES)
        preroll = list(self._recent)[-fresh:]
        start = self._state.position - len(preroll) * WINDOW_SAMPLES
        segment = Segment(self._decodes, start, self._vocabulary, self._known_language, self._clock)
        for window in preroll:
            self._feed(segment, window)
        return segment

    def _end_segment(self) -> None:
        if self._segment is not None:
            self._words += self._segment.words()
            self._language, self._known_language = self._segment.language, self._segment.known_language
            self._segment = None
            self._heard_to = self._state.position

    def _feed(self, segment: Segment, window: _Window) -> None:
        # A single window of speech in a pause is not yet the speaker going on: the final decode stays valid.
        segment.add(window.samples, speech=window.is_speech and self._state.in_phrase)
        self._heard_to = self._state.position

    def _partial(self) -> list[Partial]:
        """Returns a partial if its text is new or the last one was sent long ago."""
        position = self._state.position
        committed = self._segment.committed if self._segment is not None else []
        text = without_closing(text_of([*self._words, *committed]))
        if text == self._partial_text and position - self._partial_sent < to_samples(PARTIAL_EVERY_S):
            return []
        self._partial_text, self._partial_sent = text, position
        return [Partial(self.position_s, self._turn, text)]

    def _end_turn(self, reason: EndReason) -> list[Event]:
        self._ending = reason, to_seconds(self._state.speech_end), time.perf_counter()
        self._state.end()
        if self._segment is None:
            return self._finish_turn()
        self._await(self._segment.begin_final(), self._finish_turn)
        return []

    def _finish_turn(self) -> list[Event]:
        assert self._ending is not None
        (reason, speech_end_s, decided_at), self._ending = self._ending, None
        self._end_segment()
        final = Final(self.position_s, self._turn, tuple(self._words), self._language)
        ended = TurnEnded(self.position_s, self._turn, reason, speech_end_s)
        metrics.FINAL_SECONDS.observe(time.perf_counter() - decided_at)
        metrics.TURNS.labels(reason.name.lower()).inc()
        self._turn += 1
        self._heard_to = self._state.position
        return [final, ended]
