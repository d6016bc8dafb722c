"""Which turns of a conversation are not over."""

from __future__ import annotations

from oviya.client import (
    AudioChunk,
    ConverseEvent,
    Interrupted,
    ReplyEnded,
    Sentence,
    SpeechStarted,
    TurnDropped,
    TurnFailed,
)


class OpenTurns:
    """Follows turns from the first word to the last."""

    def __init__(self) -> None:
        self.speaking: int | None = None
        """The turn whose reply is being spoken."""
        self._spoken: set[int] = set()
        self._typed = 0

    @property
    def all_over(self) -> bool:
        """Whether all turns have been answered."""
        return not self._spoken and not self._typed

    def text_sent(self) -> None:
        """Counts a typed turn, whose number is not known before its first event."""
        self._typed += 1

    def follow(self, event: ConverseEvent) -> None:
        """Follows an event of the conversation."""
        match event:
            case SpeechStarted():
                self._spoken.add(event.turn)
            case Sentence() | AudioChunk():
                self.speaking = event.turn
            case ReplyEnded() | Interrupted() | TurnFailed() | TurnDropped():
                if event.turn in self._spoken:
                    self._spoken.remove(event.turn)
                elif self._typed:
                    self._typed -= 1
                if self.speaking == event.turn:
                    self.speaking = None
            case _:
                pass
