"""Whose turn it is: the states of a conversation, and what speech over a reply changes.

The machine has no clock and no tasks.  Its owner reports what happens, with the time, does what the returned actions
say, and calls `on_time` at `deadline`.

Speech over a reply pauses it at once, before it is known what the speech is; then words and silences decide:

    LISTENING --reply_began--> THINKING --reply_audible--> SPEAKING --reply_over--> LISTENING
    THINKING, SPEAKING --speech--> INTERRUPTED
    INTERRUPTED --a back-channel, a noise, an echo--> THINKING or SPEAKING: the reply goes on
    INTERRUPTED --words--> LISTENING: the reply is over, and the words are a turn
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from oviya.v1 import conversation_pb2 as pb
from services.gateway.turn.overlap import Overlap, Words

WORDS_AFTER_SILENCE_S = 0.25
"""Seconds for which a reply stays paused after silence was reported, for the words of what was said.  Speech-to-text
reports silence after 0.2 s, and on 2 cores knows the words 0.1 s later; the reply goes on within 0.6 s."""
WORDS_AFTER_START_S = 3.0
"""Seconds of speech without a word after which the reply goes on: it is noise."""
FALSE_ALARMS = (Overlap.NO_WORDS, Overlap.ECHO)
"""What speech is not."""
MAX_FALSE_ALARMS = 2
"""Noises and echoes in one reply after which sound alone does not pause it any more: words do."""


class TurnState(Enum):
    """Whose turn it is."""

    LISTENING = "listening"
    """Nothing is being answered."""
    THINKING = "thinking"
    """A reply is being made, and none of its sound has been sent."""
    SPEAKING = "speaking"
    """A reply is heard."""
    INTERRUPTED = "interrupted"
    """The user speaks over the reply, which is paused until it is clear what that means."""


@dataclass(frozen=True)
class Pause:
    """Pause the reply."""


@dataclass(frozen=True)
class Resume:
    """Let the reply go on."""


@dataclass(frozen=True)
class Stop:
    """Stop the reply."""

    reason: pb.InterruptReason.ValueType


@dataclass(frozen=True)
class Answer:
    """Answer the user's turn."""

    turn: int


@dataclass(frozen=True)
class Drop:
    """The user's turn needs no answer."""

    turn: int
    reason: pb.DropReason.ValueType


Action = Pause | Resume | Stop | Answer | Drop

_DROP_REASONS: dict[Overlap, pb.DropReason.ValueType] = {
    Overlap.NO_WORDS: pb.DROP_REASON_NO_WORDS,
    Overlap.BACKCHANNEL: pb.DROP_REASON_BACKCHANNEL,
    Overlap.ECHO: pb.DROP_REASON_ECHO,
    Overlap.STOP: pb.DROP_REASON_STOP_PHRASE,
}
_STOP_REASONS: dict[Overlap, pb.InterruptReason.ValueType] = {
    Overlap.SPEECH: pb.INTERRUPT_REASON_SPEECH,
    Overlap.STOP: pb.INTERRUPT_REASON_STOP_PHRASE,
}


@dataclass
class _Speech:
    """The user's running turn."""

    turn: int
    over_reply: bool
    answers_question: bool  # whether "yes" is an answer rather than a back-channel
    voiced_since: float
    silent_since: float | None = None
    meaning: Overlap = Overlap.NO_WORDS
    has_words: bool = False
    waited_for: bool = False  # the running reply began during it, and it does not stop that reply


class TurnMachine:
    """The turns of one session.  All times are seconds of one clock.

    Args:
        judge: returns what the words of the running turn, which is over a reply, mean.
        asks: whether the reply has reached a question at its end.
    """

    def __init__(self, judge: Callable[[Words], Overlap], asks: Callable[[], bool]) -> None:
        self._judge, self._asks = judge, asks
        self._speech: _Speech | None = None
        self._has_reply = False
        self._audible = False
        self._paused = False
        self._false_alarms = 0

    @property
    def state(self) -> TurnState:
        """The current state."""
        if not self._has_reply:
            return TurnState.LISTENING
        if self._paused:
            return TurnState.INTERRUPTED
        return TurnState.SPEAKING if self._audible else TurnState.THINKING

    @property
    def deadline(self) -> float | None:
        """Time at which to call `on_time`; None: it need not be called."""
        if not self._paused or self._speech is None:
            return None
        if self._speech.silent_since is not None:
            return self._speech.silent_since + WORDS_AFTER_SILENCE_S
        is_turn = self._speech.has_words if self._speech.waited_for else self._speech.meaning.stops
        return None if is_turn else self._speech.voiced_since + WORDS_AFTER_START_S

    # --- The reply ----------------------------------------------------------------------------------------------------

    def reply_began(self) -> list[Action]:
        """A reply is being made.  Where the user is speaking already, e.g. after a typed turn, it waits until they have
        ended, and their turn is answered after it."""
        self._has_reply, self._audible, self._paused, self._false_alarms = True, False, False, 0
        if self._speech is None:
            return []
        self._speech.waited_for = True
        return self._pause() if self._speech.silent_since is None else []

    def reply_audible(self) -> None:
        """The reply's first sound was sent."""
        self._audible = True

    def reply_over(self) -> None:
        """The reply was played to its end, has failed or was stopped."""
        self._has_reply = self._audible = self._paused = False

    def stop_requested(self) -> list[Action]:
        """The caller asks to stop the reply; no action: there is none."""
        return self._stop(pb.INTERRUPT_REASON_REQUESTED)

    # --- The user's speech --------------------------------------------------------------------------------------------

    def speech_started(self, turn: int, now: float) -> list[Action]:
        """The user began to speak."""
        self._speech = _Speech(turn, self._has_reply, self._has_reply and self._asks(), now)
        return self._pause() if self._has_reply else []

    def speech_stopped(self, now: float) -> list[Action]:
        """The user fell silent and may go on."""
        if self._speech is not None:
            self._speech.silent_since = now
        return self._follow_meaning()

    def speech_resumed(self, now: float) -> list[Action]:
        """The user went on."""
        if self._speech is None:
            return []
        self._speech.silent_since, self._speech.voiced_since = None, now
        if not self._has_reply or (self._paused and self._speech.waited_for):
            return []
        self._speech.over_reply, self._speech.waited_for = True, False
        return self._pause()

    def words(self, words: Words) -> list[Action]:
        """The words of the running turn so far."""
        speech = self._speech
        if speech is None:
            return []
        speech.has_words = bool(words.text.strip())
        if self._is_over_running_reply(speech):
            speech.meaning = self._meaning(speech, words)
        return self._follow_meaning()

    def speech_ended(self, turn: int, words: Words) -> list[Action]:
        """The user's turn is over, with all its words."""
        speech, self._speech = self._speech, None
        if speech is None or speech.turn != turn or not speech.over_reply:
            return [*self._resume(), Answer(turn)]
        meaning = self._meaning(speech, words)
        if meaning is Overlap.NO_WORDS and speech.meaning is Overlap.SPEECH:
            meaning = Overlap.SPEECH  # partial words stopped the reply already; silence would be no answer to them
        outcome = Answer(turn) if meaning is Overlap.SPEECH else Drop(turn, _DROP_REASONS[meaning])
        if meaning.stops and not speech.waited_for:
            return [*self._stop(_STOP_REASONS[meaning]), outcome]
        return [*self._resume(false_alarm=meaning in FALSE_ALARMS), outcome]

    def speech_failed(self) -> list[Action]:
        """The words of the running turn cannot be recognized."""
        self._speech = None
        return self._resume()

    def on_time(self, now: float) -> list[Action]:
        """Lets the reply go on where words have not come in time."""
        deadline = self.deadline
        if deadline is None or now < deadline or self._speech is None:
            return []
        return self._resume(false_alarm=self._speech.over_reply and self._speech.meaning in FALSE_ALARMS)

    # --- Decisions ----------------------------------------------------------------------------------------------------

    def _is_over_running_reply(self, speech: _Speech) -> bool:
        return self._has_reply and speech.over_reply and not speech.waited_for

    def _meaning(self, speech: _Speech, words: Words) -> Overlap:
        meaning = self._judge(words)
        if meaning is Overlap.BACKCHANNEL and speech.answers_question:
            return Overlap.SPEECH
        return meaning

    def _follow_meaning(self) -> list[Action]:
        speech = self._speech
        if speech is None or not self._is_over_running_reply(speech):
            return []
        if speech.meaning.stops:
            return self._stop(_STOP_REASONS[speech.meaning])
        # Until the user is silent, more words may follow: one word alone is often in the reply as well.
        known = speech.meaning in (Overlap.ECHO, Overlap.BACKCHANNEL) and speech.silent_since is not None
        return self._resume(false_alarm=speech.meaning in FALSE_ALARMS) if known else []

    def _pause(self) -> list[Action]:
        if self._paused or self._false_alarms >= MAX_FALSE_ALARMS:
            return []
        self._paused = True
        return [Pause()]

    def _resume(self, *, false_alarm: bool = False) -> list[Action]:
        if not self._paused:
            return []
        self._paused = False
        self._false_alarms += false_alarm
        return [Resume()]

    def _stop(self, reason: pb.InterruptReason.ValueType) -> list[Action]:
        if not self._has_reply:
            return []
        self.reply_over()
        return [Stop(reason)]
