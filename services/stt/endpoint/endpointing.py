"""Decides when a turn is over: after a silence whose length depends on what was said and on who speaks.

`Endpointer` is given the probability of speech of every window (`vad`) and returns where a turn starts, pauses, resumes
and ends (`turn_state`).  At each pause it chooses how long the silence must last to end the turn: short after a
complete sentence (`completeness`), long in the middle of one, and longest in the middle of a number that is read out
(`dictation`).  A speaker who makes long pauses gets more time.  One fixed silence would either delay every reply or
interrupt speakers who stop to think.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.stt.endpoint.completeness import FINISHED_SCORE, UNFINISHED_SCORE, completeness
from services.stt.endpoint.dictation import Dictation, dictation
from services.stt.endpoint.turn_state import Transition, TurnStateMachine
from services.stt.recognizer import Word, to_samples, to_seconds

LIKELY_END_SCORE = -2.0
"""Completeness from which on a turn has probably ended, so that a reply may be prepared.  On the development sets of
benchmarks/stt_pauses.py it finds 98 % of the ends; it is also reached in 19 % (human) to 33 % (flite) of the pauses at
clauses, where the prepared reply is discarded."""
PAUSES_KEPT = 20
PAUSES_TRUSTED = 4
"""Number of the speaker's own pauses that weigh as much as the setting."""
PAUSE_QUANTILE = 0.9
PAUSE_MARGIN_S = 0.15
MIN_STRETCH = 0.75
"""The silence is shortened for a quick speaker by a quarter at most."""
RESTART_S = 1.0
"""If the speaker goes on so soon after a silence ended the turn, the turn had not been over."""


@dataclass(frozen=True)
class EndSilence:
    """Silences in seconds that end a turn.

    Attributes:
        min_s: after a complete sentence.
        max_s: in the middle of a sentence.
        cap_s: the longest, whatever the speaker's own pauses are, except in dictation.
        dictation_s: in the middle of a number or a spelling that is read out, at least; 0: as elsewhere.
    """

    min_s: float
    max_s: float
    cap_s: float
    dictation_s: float = 0.0


class Endpointer:
    """Follows one speaker through a session.

    Args:
        silence: the range of the silences that end a turn.
        phrase_silence_s: silence that completes a phrase, in seconds; the turn goes on.
        fixed_s: one silence for all turns, in place of `silence`.
    """

    def __init__(self, silence: EndSilence, phrase_silence_s: float = 0.2, fixed_s: float | None = None) -> None:
        self._silence = silence
        self._fixed_s = fixed_s
        longest_s = max(silence.cap_s, silence.dictation_s) if fixed_s is None else fixed_s
        self._longest = to_samples(longest_s)
        self.state = TurnStateMachine(to_samples(min(phrase_silence_s, longest_s)), self._longest)
        """Where the stream is: in a turn, in a phrase, or in neither."""
        self._pauses_s: deque[float] = deque(maxlen=PAUSES_KEPT)
        self._ended_by_silence: int | None = None  # end of the speech of a turn that silence ended

    def step(self, probability: float) -> Transition | None:
        """Adds the probability of speech in the next window; returns the transition that it caused."""
        state = self.state
        transition = state.step(probability)
        if transition is Transition.ENDED:
            self._ended_by_silence = state.speech_end
        elif transition is Transition.STARTED and self._ended_by_silence is not None:
            pause_s = to_seconds(state.speech_start - self._ended_by_silence)
            if pause_s < RESTART_S:
                self.add_pause(pause_s)
        elif transition is Transition.RESUMED:
            self.add_pause(to_seconds(state.pause))
        if transition in (Transition.STARTED, Transition.RESUMED):
            state.end_silence = self._longest
        return transition

    def pause(self, words: Sequence[Word], fall: float | None, turn_end: float | None, language: str) -> bool:
        """Sets how long the pause that has just begun must last to end the turn.

        Args:
            words: words of the turn so far; may be empty.
            fall: semitones by which the pitch ends below the turn's median; None: unknown.
            turn_end: Smart Turn's probability that the turn is over; None: unknown.
            language: Whisper's code of the language; the words count in English only.

        Returns:
            Whether the turn has probably ended.
        """
        if self._fixed_s is None:
            self.state.end_silence = to_samples(self.silence_s(words, fall, turn_end, language))
        return bool(words) and completeness(words, fall, turn_end, language) >= LIKELY_END_SCORE

    def add_pause(self, pause_s: float) -> None:
        """Records a pause after which the speaker went on."""
        self._pauses_s.append(min(pause_s, self._silence.cap_s))

    def silence_s(
        self, words: Sequence[Word], fall: float | None = None, turn_end: float | None = None, language: str = "en"
    ) -> float:
        """Returns the silence in seconds that ends the turn after `words`; arguments as in `pause`."""
        silence = self._silence
        score = completeness(words, fall, turn_end, language)
        part = (score - UNFINISHED_SCORE) / (FINISHED_SCORE - UNFINISHED_SCORE)
        base_s = silence.max_s - (silence.max_s - silence.min_s) * min(max(part, 0.0), 1.0)
        normal_s = min(max(base_s * self._stretch(), silence.min_s), silence.cap_s)
        if language == "en" and dictation([word.written or word.text for word in words]) is Dictation.OPEN:
            return max(normal_s, silence.dictation_s)
        return normal_s

    def _stretch(self) -> float:
        """Returns how much longer than the setting this speaker's pauses are; 1.0 while few are known."""
        if not self._pauses_s:
            return 1.0
        own_s = float(np.quantile(self._pauses_s, PAUSE_QUANTILE)) + PAUSE_MARGIN_S
        trust = len(self._pauses_s) / (len(self._pauses_s) + PAUSES_TRUSTED)
        return 1.0 + trust * (max(own_s / self._silence.max_s, MIN_STRETCH) - 1.0)
