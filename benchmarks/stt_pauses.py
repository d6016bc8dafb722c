"""Pauses at the ends of turns and within them, and how well a score tells them apart.

flite's sentences are in three sets: `fitted`, forty in slt, on which the first thresholds were set; `development`, a
hundred others in slt and rms; `held-out`, a hundred more in awb, kal16 and rms.  The human ones are the recorded
prompts of `tests.support.human_speech`, divided by a hash of their words into `human` for development and
`human held-out`.

Each sentence gives one pause at its end and one within it: in `fitted` after the word nearest the middle, in the others
at the comma or conjunction nearest the middle.  A human one is cut where Whisper's alignment finds that word.
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.stt_sentences import DEVELOPMENT, HELD_OUT, SPEECH_LEVEL, TURNS, clause_place
from oviya.audio.pcm import Pcm
from services.stt.endpoint.endpointing import Endpointer, EndSilence
from services.stt.endpoint.smart_turn import SmartTurn
from services.stt.endpoint.vad import SileroVad, VadStream
from services.stt.engine.limits import TurnLimits
from services.stt.engine.session import Session
from services.stt.recognizer import SAMPLE_RATE_HZ, Recognizer, Request, Transcript, Word, to_samples, to_seconds
from tests.support.human_speech import prompts, read_prompt
from tests.support.speech import pause_place, silence, speak
from tests.support.stt_session import InlineDecodes

SENTENCES = {
    "fitted": (TURNS, ("slt",)),
    "development": (DEVELOPMENT, ("slt", "rms")),
    "held-out": (HELD_OUT, ("awb", "kal16", "rms")),
}
HUMAN = ("human", "human held-out")
SETS = (*SENTENCES, *HUMAN)
PHRASE_S, LEAD_S, TAIL_S = 0.2, 0.5, 0.5
LONG_S = 60.0
"""Longer than any utterance."""
MAX_PROMPT_S, MIN_CUT_WORDS = 28.0, 4
NOISE = 2e-4
"""RMS of the noise in silence that is added to human speech: -74 dBFS, as in its own pauses."""
OWN_PAUSE_S = 0.1
"""A shorter silence is no pause: the stop of a consonant."""
CUT_REACH_S = 0.08
"""A recording is cut at the softest place so near the start of a word."""
FRAGMENT = re.compile(
    r"^(to|is|has|or|from|letters|information|callers|message|un|followed|other|waiting|call forward|agent login|m i)\b"
    r"|\b(was|is|as|exactly|number|listen to|press|successfully)$"
)
"""Prompts that are part of a sentence; they are cut in two, but their ends are no ends of turns."""


def is_whole(text: str) -> bool:
    """Whether a prompt is a whole sentence."""
    return not FRAGMENT.search(text)


@dataclass(frozen=True)
class Utterance:
    """A sentence that can be spoken with or without a pause.

    Attributes:
        text: its words.
        voice: the speaker.
        sound: shape (samples,), 16 kHz.
        cut: where the pause begins and where speech goes on after it, in samples; None: nowhere.
        before: the words before the pause.
        whole: whether it is a whole sentence.
        own_pause_s: silence around `cut` that the speaker made, in seconds.
    """

    text: str
    voice: str
    sound: Pcm
    cut: tuple[int, int] | None
    before: str
    whole: bool = True
    own_pause_s: float = 0.0

    @property
    def human(self) -> bool:
        """Whether it was recorded."""
        return self.voice == "human"

    def with_pause(self, pause_s: float) -> Pcm:
        """Returns the sound with a pause in it, of which the speaker's own is a part; there must be a `cut`."""
        assert self.cut is not None
        end, start = self.cut
        added_s = max(0.0, pause_s - self.own_pause_s)
        return np.concatenate((self.sound[:end], silence(added_s), self.sound[start:]))


@dataclass(frozen=True)
class Pause:
    """What is known 200 ms after speech stops.

    Attributes:
        is_end: whether the turn is over.
        words: what the recognizer understood of the turn.
        fall: semitones by which the pitch ends below the turn's median; None: unknown.
        turn_end: Smart Turn's probability that the turn is over; None: it was not asked.
    """

    is_end: bool
    words: tuple[Word, ...]
    fall: float | None
    turn_end: float | None


def utterances(name: str, recognizer: Recognizer) -> Iterator[Utterance]:
    """Yields the utterances of one of `SETS`; the recognizer finds the words of recordings."""
    if name in HUMAN:
        yield from _prompts(name, recognizer)
        return
    sentences, voices = SENTENCES[name]
    for text, voice in zip(sentences, itertools.cycle(voices), strict=False):
        words = text.split()
        place = (len(words) + 1) // 2 if name == "fitted" else clause_place(text)
        cut = pause_place(text, voice, place)
        yield Utterance(text, voice, speak(text, voice=voice), cut, " ".join(words[:place]))


def _prompts(name: str, recognizer: Recognizer) -> Iterator[Utterance]:
    texts: set[str] = set()
    for prompt in prompts():
        held_out = hashlib.sha256(prompt.text.encode()).digest()[0] % 2 == 1
        sound = read_prompt(prompt.name)
        if held_out != (name == HUMAN[1]) or prompt.text in texts or to_seconds(len(sound)) > MAX_PROMPT_S:
            continue
        texts.add(prompt.text)
        said, place = prompt.text.split(), clause_place(prompt.text)
        cut: tuple[int, int] | None = None
        own_pause_s = 0.0
        if len(said) >= MIN_CUT_WORDS:
            heard = recognizer.transcribe([Request(sound, to_seconds(len(sound)), language="en")])[0].words
            match = difflib.SequenceMatcher(None, said, [word.text for word in heard], autojunk=False)
            blocks = match.get_matching_blocks()
            index = next((b + place - a for a, b, size in blocks if a <= place < a + size), None)
            if index is not None:
                at = _softest(sound, heard[index].start_s)
                cut, own_pause_s = (at, at), _pause_around(sound, at)
        yield Utterance(prompt.text, "human", sound, cut, " ".join(said[:place]), is_whole(prompt.text), own_pause_s)


def _softest(sound: Pcm, near_s: float) -> int:
    step = to_samples(0.01)
    first = max(to_samples(near_s - CUT_REACH_S), step)
    starts = range(first, min(to_samples(near_s + CUT_REACH_S), len(sound) - step), step)
    return min(starts, key=lambda start: float(np.square(sound[start : start + step]).sum()))


def _pause_around(sound: Pcm, place: int) -> float:
    """Returns the length of the silence around `place` in seconds; 0 where the speaker made no pause."""
    loud = np.flatnonzero(np.abs(sound) > SPEECH_LEVEL)
    before, after = loud[loud < place].max(initial=0), loud[loud >= place].min(initial=len(sound))
    pause_s = to_seconds(int(after - before))
    return pause_s if pause_s >= OWN_PAUSE_S else 0.0


class _Finals(InlineDecodes):
    """Runs final decodes at once, and drafts never."""

    def submit(self, make_request: Callable[[], Request], *, final: bool) -> Future[Transcript]:
        return super().submit(make_request, final=final) if final else Future()


class _ObservedEndpointer(Endpointer):
    """Keeps what is known at the last pause; ends no turn."""

    def __init__(self) -> None:
        super().__init__(EndSilence(LONG_S, LONG_S, LONG_S))
        self.known: tuple[tuple[Word, ...], float | None, float | None] | None = None

    def pause(self, words: Sequence[Word], fall: float | None, turn_end: float | None, language: str) -> bool:
        self.known = tuple(words), fall, turn_end
        return False


class _ObservedSession(Session):
    def __init__(self, vad: VadStream, smart_turn: SmartTurn, recognizer: Recognizer) -> None:
        limits = TurnLimits(PHRASE_S, EndSilence(LONG_S, LONG_S, LONG_S), LONG_S)
        super().__init__(vad, smart_turn, SAMPLE_RATE_HZ, limits, _Finals(recognizer))
        self._endpointer = self.observed = _ObservedEndpointer()
        self._state = self._endpointer.state


class Observer:
    """Plays utterances to a session, up to a pause.

    Args:
        recognizer: loaded; understands English.
    """

    def __init__(self, recognizer: Recognizer) -> None:
        self._recognizer = recognizer
        self._vad, self._smart_turn = SileroVad(), SmartTurn()
        self._draw = np.random.default_rng(0)

    def pauses(self, utterance: Utterance) -> Iterator[Pause]:
        """Yields the pause within the utterance and the one at its end, if it has them."""
        if utterance.cut is not None:
            yield self._pause(utterance.sound[: utterance.cut[0]], utterance, is_end=False)
        if utterance.whole:
            yield self._pause(utterance.sound, utterance, is_end=True)

    def _pause(self, speech: Pcm, utterance: Utterance, *, is_end: bool) -> Pause:
        sound = np.concatenate((silence(LEAD_S), speech, silence(TAIL_S)))
        if utterance.human:
            sound += self._draw.normal(0, NOISE, len(sound)).astype(np.float32)
        session = _ObservedSession(self._vad.stream(), self._smart_turn, self._recognizer)
        session.push(sound)
        if session.observed.known is None:
            raise RuntimeError(f"no pause was found after {utterance.text!r}")
        return Pause(is_end, *session.observed.known)


LONGER_THAN_S, SHARE_LONGER = (0.1, 0.3, 0.6, 1.0, 1.6, 3.0), (1.0, 0.556, 0.217, 0.10, 0.05, 0.01)
"""How many of the pauses within turns are longer: read off the figures of eot-bench's voice detector alone, English
(github.com/livekit/eot-bench)."""
BUDGET_S, BUDGET_CUT = 0.3, 0.05
_DELAYS_S, _TIMEOUTS_S = np.arange(0.2, 1.05, 0.1), np.arange(0.3, 3.05, 0.1)


@dataclass(frozen=True)
class OperatingPoints:
    """How well a score tells ends from pauses; shares are 0 to 1.

    Attributes:
        ends_at_cut: share of the ends that score above all but 5 % of the pauses.
        cut_at_budget: smallest share of pauses cut off if turns end after 300 ms on average.
        delay_at_cut_s: shortest average delay of an end if 5 % of the pauses are cut off.
    """

    ends_at_cut: float
    cut_at_budget: float
    delay_at_cut_s: float


def operating_points(ends: Sequence[float], pauses: Sequence[float]) -> OperatingPoints:
    """Sweeps eot-bench's policy: a turn ends after a delay if the score is above a threshold, else after a timeout.

    Pauses have the lengths that eot-bench's have, whatever their scores.
    """
    end_scores, pause_scores = np.array(ends), np.array(pauses)
    threshold = np.quantile(pause_scores, 1 - BUDGET_CUT)
    delays, timeouts = np.meshgrid(_DELAYS_S, _TIMEOUTS_S)
    valid = timeouts >= delays
    cut_at_budget, delay_at_cut_s = 1.0, float(_TIMEOUTS_S[-1])
    for level in np.quantile(np.concatenate((end_scores, pause_scores)), np.linspace(0, 1, 101)):
        found, fooled = np.mean(end_scores > level), np.mean(pause_scores > level)
        delay_s = found * delays + (1 - found) * timeouts
        cut = fooled * _share_longer(delays) + (1 - fooled) * _share_longer(timeouts)
        cut_at_budget = min(cut_at_budget, cut[valid & (delay_s <= BUDGET_S + 1e-9)].min(initial=1.0))
        delay_at_cut_s = min(delay_at_cut_s, delay_s[valid & (cut <= BUDGET_CUT)].min(initial=3.0))
    return OperatingPoints(float(np.mean(end_scores > threshold)), float(cut_at_budget), float(delay_at_cut_s))


def _share_longer(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(np.interp(seconds, LONGER_THAN_S, np.log(SHARE_LONGER)))
