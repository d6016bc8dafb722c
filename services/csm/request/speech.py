"""A request laid out for the model: a prompt, or one after the other where the text is too long for one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oviya.errors import InvalidInput
from services.csm.model.config import FRAME_S, CsmConfig
from services.csm.request.context import keep_context, split_text
from services.csm.request.limits import SLACK_S, Limits, expected_frames, most_frames, spoken_frames
from services.csm.request.prompt import Prompt, Segment, join_prompts, segment_prompt, text_prompt
from services.csm.request.request import Finish, GenerateRequest
from services.csm.request.tokenizer import TextTokenizer

ROOMY = 1.5
"""A prompt makes room for an answer this much slower than expected, and for a pause: context gives way to it, and a
text that has less is cut in pieces.  Half of the turns of a conversation would go if there were room for the slowest
answer that is let pass."""

PIECES_IN_A_PROMPT = 3
"""A long text is cut so that a piece, with its answer, takes this share of a prompt: the piece before it, which it
hears, then still fits where its answer was slow."""

SHORTEST_PIECE = 64
"""Positions of a piece below which cutting makes no sense: some two seconds of speech."""


@dataclass(frozen=True)
class Piece:
    """One prompt and what may come of it.

    Attributes:
        text: what it says.
        prompt: its positions.
        max_frames: longest answer.
        at_limit: what it means where the answer gets that long.
    """

    text: str
    prompt: Prompt
    max_frames: int
    at_limit: Finish


class Speech:
    """The pieces of a request, each made when the one before it was spoken.

    Raises:
        InvalidInput: the reference clips leave no room for the text.
    """

    def __init__(self, request: GenerateRequest, tokenizer: TextTokenizer, config: CsmConfig, limits: Limits) -> None:
        self._request, self._tokenizer, self._config, self._limits = request, tokenizer, config, limits
        parts = [segment_prompt(tokenizer, config.codebooks, segment) for segment in request.context]
        first_turn = sum(segment.reference for segment in request.context)
        self._references, self._turns = parts[:first_turn], parts[first_turn:]
        self._given = len(self._turns)
        self._left = request.max_frames or limits.frames
        self._texts = self._cut()
        self.expected_frames = min(expected_frames(request.text), self._left)
        self.pieces = 0
        """Pieces that were begun."""
        self.dropped_segments = 0

    @property
    def is_long(self) -> bool:
        """Whether the text has several pieces."""
        return self.pieces + len(self._texts) > 1

    def next_piece(self) -> Piece | None:
        """The next piece; None where all is said."""
        if not self._texts or not self._left:
            return None
        text, config = self._texts.pop(0), self._config
        own = text_prompt(self._tokenizer, config.codebooks, text, self._request.speaker, self._request.style)
        most = most_frames(text)
        # The last frame is spoken, but never read again.
        positions = config.max_positions + 1 - len(own)
        kept, dropped = keep_context(
            self._references,
            self._turns,
            room=positions - min(_roomy_frames(text), self._left),
            most=self._limits.context_turns,
        )
        self.dropped_segments = max(self.dropped_segments, min(dropped, self._given))
        self.pieces += 1
        room = positions - sum(map(len, kept))
        frames = min(most, self._left, room)
        prompt = join_prompts((*kept, own))
        return Piece(text, prompt, frames, Finish.RUNAWAY if frames == most else Finish.LENGTH)

    def spoken(self, piece: Piece, frames: NDArray[np.int64], heard: int) -> None:
        """Notes what became of a piece: `frames` (T, Q), of which the first `heard` serve the next as context."""
        self._left -= len(frames)
        if heard and self._texts:
            segment = Segment(self._request.speaker, piece.text, frames[:heard])
            self._turns.append(segment_prompt(self._tokenizer, self._config.codebooks, segment))

    def _cut(self) -> list[str]:
        """The text in pieces that fit a prompt."""
        request, longest = self._request, self._config.max_positions
        room = longest - sum(map(len, self._references))
        own = len(self._tokenizer.encode_segment(request.text, request.speaker, request.style))
        left = room + 1 - own  # the last frame is spoken, but never read again
        if min(_roomy_frames(request.text), self._left) <= left:
            return [request.text]
        frame = len(self._tokenizer.encode_segment("", request.speaker, request.style))
        most = room // PIECES_IN_A_PROMPT - frame
        if most < SHORTEST_PIECE:
            if min(expected_frames(request.text), self._left) <= left:
                return [request.text]  # an ordinary pace has room; a slow voice is cut, which its end says
            limit = f"must leave room for the text within {longest} positions"
            raise InvalidInput("context", f"{longest - room} positions of reference clips", limit)

        def size(text: str) -> float:
            tokens = len(self._tokenizer.encode_segment(text, request.speaker, request.style)) - frame
            return tokens + spoken_frames(text)

        return split_text(request.text, size, most)


def _roomy_frames(text: str) -> int:
    """Frames that a prompt keeps free for the answer to `text`."""
    return min(most_frames(text), math.ceil(ROOMY * expected_frames(text) + SLACK_S / FRAME_S))
