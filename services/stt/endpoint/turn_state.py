"""The state of a turn: idle, speech or pause.  It follows the probability of speech and two silences.

How long those silences are is decided in `endpointing`.
"""

from __future__ import annotations

from enum import Enum, auto

from services.stt.endpoint.vad import WINDOW_SAMPLES

SPEECH_PROBABILITY = 0.5
"""From this probability on a window is speech: Silero's default."""
SILENCE_PROBABILITY = 0.35
"""Below this probability a window is silence; in between the state does not change.  Silero's default, 0.15 less."""
ONSET_WINDOWS = 2
"""Consecutive windows of speech that start a turn: 64 ms, longer than a click and shorter than a syllable."""

HESITATION = WINDOW_SAMPLES
"""Silence in samples after which the speaker may have finished: 32 ms.  Human prompts have such a silence within speech
every 7 s, one of 64 ms every 8 s."""


class Transition(Enum):
    """A change of the state."""

    STARTED = auto()
    """A turn began."""
    HESITATED = auto()
    """The speaker has just fallen silent; the turn goes on as if they had not.  Comes once in a silence, and not in one
    whose pause or end is due as early."""
    PAUSED = auto()
    """The speaker paused long enough to complete a phrase; the turn goes on."""
    RESUMED = auto()
    """The speaker went on after a pause."""
    ENDED = auto()
    """The turn is over."""


class _State(Enum):
    IDLE = auto()
    SPEECH = auto()
    PAUSE = auto()


class TurnStateMachine:
    """Follows one stream, window by window.  Positions are samples from the stream's start.

    Args:
        phrase_silence: silence in samples that completes a phrase.
        end_silence: silence in samples that ends the turn; may be changed at any time.
    """

    def __init__(self, phrase_silence: int, end_silence: int) -> None:
        self.phrase_silence = phrase_silence
        self.end_silence = end_silence
        self.position = 0
        """End of the last window."""
        self.speech_start = 0
        """Start of the speech of the running or the last turn."""
        self._state = _State.IDLE
        self.pause = 0
        """Length of the last pause after which the speaker went on."""
        self._run = 0  # consecutive windows of speech, up to the last one
        self._silence_start: int | None = None

    @property
    def in_turn(self) -> bool:
        """Whether a turn has started and not ended; pauses belong to it."""
        return self._state is not _State.IDLE

    @property
    def in_phrase(self) -> bool:
        """Whether a phrase has started and not ended."""
        return self._state is _State.SPEECH

    @property
    def speech_end(self) -> int:
        """End of the last speech so far."""
        return self.position if self._silence_start is None else self._silence_start

    def step(self, probability: float) -> Transition | None:
        """Adds the probability of speech in the next window; returns the transition that it caused."""
        window_start, self.position = self.position, self.position + WINDOW_SAMPLES
        self._run = self._run + 1 if probability >= SPEECH_PROBABILITY else 0
        if self._state is _State.SPEECH:
            if self._run:
                self._silence_start = None
            elif probability < SILENCE_PROBABILITY and self._silence_start is None:
                self._silence_start = window_start
        elif self._run == ONSET_WINDOWS:
            return self._begin()
        # One window of speech may be the speaker going on: the decision waits for the second.
        return None if self._run else self._after_silence()

    def end(self) -> None:
        """Ends the turn now; further speech starts another."""
        self._state, self._run = _State.IDLE, 0

    def _begin(self) -> Transition:
        was, self._state = self._state, _State.SPEECH
        if was is _State.PAUSE and self._silence_start is not None:
            self.pause = self.position - ONSET_WINDOWS * WINDOW_SAMPLES - self._silence_start
        self._silence_start = None
        if was is _State.PAUSE:
            return Transition.RESUMED
        self.speech_start = self.position - ONSET_WINDOWS * WINDOW_SAMPLES
        return Transition.STARTED

    def _after_silence(self) -> Transition | None:
        if not self.in_turn or self._silence_start is None:
            return None
        silence = self.position - self._silence_start
        before = silence - WINDOW_SAMPLES
        if silence >= self.end_silence:
            self.end()
            return Transition.ENDED
        if self.in_phrase and silence >= self.phrase_silence:
            self._state = _State.PAUSE
            return Transition.PAUSED
        if self.in_phrase and before < HESITATION <= silence:
            return Transition.HESITATED
        return None
