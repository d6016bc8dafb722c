"""What CSM is given as context: the newest turns of both sides, as text and RVQ frames."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import count

from oviya.text.scripts import romanized
from oviya.text.sentences import with_end
from oviya.text.speakable import speakable
from oviya.v1 import common_pb2, csm_pb2

KEPT_FACTOR = 2
"""Turns that are kept at most, as a multiple of those that are kept at least."""
MAX_SEGMENTS = 48
"""Segments that are kept at most.  A request may hold 64 (CSM_MAX_CONTEXT_SEGMENTS), reference clips included."""
MAX_USER_CHARS = 240
"""Longest text of a user's turn, in characters: that of a long sentence.  A checkpoint may take a position for each
letter, and one long turn would leave no room for the sentences that keep the voice steady."""


@dataclass
class _Part:
    """A user's turn, or a sentence of a reply.

    Attributes:
        turn: number of the turn.
        speaker: speaker id of the voice; None: the user.
        text: text of CSM's prompt.
        frames: the sound; None: unknown.
        whole: whether `text` is all that was said.
    """

    turn: int
    speaker: int | None
    text: str
    frames: common_pb2.RvqFrames | None = None
    whole: bool = True


class VoiceContext:
    """Keeps the newest turns of a session, which keep the voice steady and say what it answers.

    A user's turn is one segment; a reply is a turn with a segment for each sentence.  Text and frames of a segment are
    kept or dropped together.

    The newest `turns` turns are always kept, as far as they have at most `MAX_SEGMENTS` segments.  Older ones are
    dropped together, once there are `KEPT_FACTOR` times as many: CSM's prefix cache finds a prompt only while it begins
    with the same segments, so dropping one turn after the other would make every reply wait for the prefill of its
    whole context.

    Args:
        turns: turns to keep at least, counting both sides; 0: none are kept.

    Attributes:
        voice: number of the voice that speaks, which grows with each change.
    """

    def __init__(self, turns: int) -> None:
        self._turns = turns
        self.voice = 0
        self._parts: list[_Part] = []
        self._early_sound: tuple[int, common_pb2.RvqFrames] | None = None  # of a turn that is not added yet

    def add_user(self, turn: int, text: str, language: str = "") -> None:
        """Adds what the user said.  It replaces what was added for the turn before.

        Of more than `MAX_USER_CHARS` characters only the last words are kept, without their sound.

        Args:
            turn: number of the turn.
            text: as it is written.
            language: language of the text (BCP 47); empty: unknown.
        """
        self._remove_parts(turn)
        whole = len(text) <= MAX_USER_CHARS
        if not whole:
            text = text[-MAX_USER_CHARS:]
            text = text.partition(" ")[2] or text
        if spoken := romanized(speakable(text, language)):
            self._add(_Part(turn, None, with_end(spoken), whole=whole))
        if self._early_sound is not None and self._early_sound[0] == turn:
            self.add_user_sound(*self._early_sound)

    def add_user_sound(self, turn: int, frames: common_pb2.RvqFrames) -> None:
        """Adds the sound of what the user said, if all of the turn's text is kept.

        The sound of the newest turn may come before its text.
        """
        self._early_sound = turn, frames
        for part in self._parts:
            if part.turn == turn and part.speaker is None and part.whole:
                part.frames = frames

    def add_sentence(
        self, turn: int, speaker: int, text: str, frames: common_pb2.RvqFrames, *, voice: int | None = None
    ) -> None:
        """Adds the next sentence of the reply to a turn, unless the voice has changed since it was begun.

        Args:
            turn: number of the turn.
            speaker: speaker id of the voice.
            text: text of CSM's prompt.
            frames: all frames of the sentence.
            voice: `voice` when the reply began; None: its present value.
        """
        if voice is None or voice == self.voice:
            self._add(_Part(turn, speaker, text, frames))

    def cut_reply(self, turn: int, heard: Collection[str]) -> None:
        """Keeps only the sentences of the reply to a turn that were heard to their end.

        A sentence that was cut is left out as a whole: nothing says which of its frames belong to the words that were
        heard.

        Args:
            turn: number of the turn.
            heard: texts of the sentences, as in `add_sentence`.
        """
        self._parts = [part for part in self._parts if part.turn != turn or part.speaker is None or part.text in heard]

    def remove(self, turn: int) -> None:
        """Removes a turn and the reply to it, e.g. an early reply that is not used."""
        self._remove_parts(turn)
        if self._early_sound is not None and self._early_sound[0] == turn:
            self._early_sound = None

    def change_voice(self) -> None:
        """Removes all replies, because another voice speaks from now on: it may have the same speaker id."""
        self.voice += 1
        self._parts = [part for part in self._parts if part.speaker is None]

    def segments(self, speaker: int, known: Collection[int] = ()) -> list[csm_pb2.ContextSegment]:
        """Returns the context, oldest segment first.

        The user gets the smallest speaker id that belongs to no voice.  For a speaker that a checkpoint with voices of
        its own does not know, the user's turns are text only: such a speaker takes the voice that it hears, and that
        would become the user's.

        Args:
            speaker: speaker id that is to speak.
            known: speaker ids of the checkpoint's own voices; empty: the checkpoint does not say.
        """
        voices = {speaker, *known, *(part.speaker for part in self._parts)}
        user = next(number for number in count() if number not in voices)
        takes_any_voice = bool(known) and speaker not in known
        return [
            csm_pb2.ContextSegment(speaker=user, text=part.text, audio=None if takes_any_voice else part.frames)
            if part.speaker is None
            else csm_pb2.ContextSegment(speaker=part.speaker, text=part.text, audio=part.frames)
            for part in self._parts
        ]

    def _remove_parts(self, turn: int) -> None:
        self._parts = [part for part in self._parts if part.turn != turn]

    def _add(self, part: _Part) -> None:
        self._parts.append(part)
        turns = list(dict.fromkeys((each.turn, each.speaker is None) for each in self._parts))
        if len(turns) > KEPT_FACTOR * self._turns:
            kept = set(turns[len(turns) - self._turns :])
            self._parts = [each for each in self._parts if (each.turn, each.speaker is None) in kept]
        if len(self._parts) > MAX_SEGMENTS:
            del self._parts[: -MAX_SEGMENTS // 2]
