"""What came of a sound that somebody made during a reply, read from the events of the conversation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from oviya.durations import seconds
from oviya.v1 import conversation_pb2

TEXT_CHARS = 200
"""Longest text of an event in characters."""


@dataclass(frozen=True)
class Arrival:
    """One response, and when it arrived, in seconds of the loop's clock."""

    at_s: float
    response: conversation_pb2.ConverseResponse

    @property
    def kind(self) -> str:
        """Name of the event."""
        return self.response.WhichOneof("event") or ""

    @property
    def turn(self) -> int:
        """The event's turn."""
        return self.response.turn

    def __str__(self) -> str:
        value = getattr(self.response, self.kind) if self.kind else ""
        return f"{self.turn} {self.kind} {' '.join(str(value).split())[:TEXT_CHARS]}"


@dataclass
class Outcome:
    """What happened to a reply and to the speech over it.

    Attributes:
        paused: when the reply was paused, and at which position, in seconds.
        resumed: when it went on, and from which position, in seconds.
        interrupted_s: when it was interrupted; None: it was not.
        reason: why it was interrupted, e.g. "SPEECH".
        late_pieces: pieces of its sound that arrived after `interrupted`.
        paused_pieces: those that arrived while it was paused.
        turns: turns that ended as such, so that an answer was begun.
        answered: those of which the first sentence of an answer arrived.
        dropped: why speech was no turn, e.g. "BACKCHANNEL", and its words.
        said: the finals of the other turns.
        confidences: of the words of each of them.
    """

    paused: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    resumed: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    interrupted_s: float | None = None
    reason: str = ""
    late_pieces: int = 0
    paused_pieces: int = 0
    turns: set[int] = field(default_factory=set[int])
    answered: set[int] = field(default_factory=set[int])
    dropped: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    said: list[str] = field(default_factory=list[str])
    confidences: list[list[float]] = field(default_factory=list[list[float]])

    @property
    def obeyed(self) -> bool:
        """Whether the reply was interrupted, and the words were answered or only meant to stop it."""
        stopped = any(reason == "STOP_PHRASE" for reason, _ in self.dropped)
        return self.interrupted_s is not None and (bool(self.answered) or stopped)

    @property
    def false_stop(self) -> bool:
        """Whether the sound was taken for a turn: the reply was interrupted, or an answer to the sound was begun."""
        return self.interrupted_s is not None or bool(self.turns)

    @property
    def repeats_s(self) -> list[float]:
        """By how much each resumed reply repeats what was heard before the pause, in seconds."""
        return [at - to for (_, at), (_, to) in zip(self.paused, self.resumed, strict=False)]


def outcome_of(arrivals: Sequence[Arrival], reply: int, since_s: float) -> Outcome:
    """Classifies the events since `since_s`, when somebody began to make a sound during the reply of turn `reply`."""
    outcome = Outcome()
    for arrival in arrivals:
        if arrival.at_s >= since_s and arrival.turn == reply:
            _add_of_reply(outcome, arrival)
        elif arrival.at_s >= since_s and arrival.turn > reply:
            _add_of_speech(outcome, arrival)
    return outcome


def _add_of_reply(outcome: Outcome, arrival: Arrival) -> None:
    response = arrival.response
    match arrival.kind:
        case "reply_paused":
            outcome.paused.append((arrival.at_s, seconds(response.reply_paused.position)))
        case "reply_resumed":
            outcome.resumed.append((arrival.at_s, seconds(response.reply_resumed.position)))
        case "interrupted":
            outcome.interrupted_s = arrival.at_s
            name = conversation_pb2.InterruptReason.Name(response.interrupted.reason)
            outcome.reason = name.removeprefix("INTERRUPT_REASON_")
        case "audio" if outcome.interrupted_s is not None:
            outcome.late_pieces += 1
        case "audio" if len(outcome.paused) > len(outcome.resumed):
            outcome.paused_pieces += 1
        case _:
            pass


def _add_of_speech(outcome: Outcome, arrival: Arrival) -> None:
    response = arrival.response
    match arrival.kind:
        case "final":
            outcome.said.append(response.final.text)
            outcome.confidences.append([round(word.confidence, 2) for word in response.final.words])
        case "turn_ended":
            outcome.turns.add(arrival.turn)
        case "reply_sentence" if not response.reply_sentence.filler:
            outcome.answered.add(arrival.turn)
        case "turn_dropped":
            name = conversation_pb2.DropReason.Name(response.turn_dropped.reason)
            outcome.dropped.append((name.removeprefix("DROP_REASON_"), response.turn_dropped.text))
        case _:
            pass
