"""Cuts the text of a request into pieces, each with a prompt of its own, if it is too long for one prompt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oviya.errors import InvalidInput
from services.csm.model.config import FRAME_S, CsmConfig
from services.csm.request.limits import SLACK_S, Limits, estimate_frames, expected_frames, runaway_frames
from services.csm.request.prompt import Prompt, Segment, join_prompts, segment_prompt, text_prompt
from services.csm.request.request import FinishReason, GenerateRequest
from services.csm.request.split_text import split_text
from services.csm.request.tokenizer import TextTokenizer

RESERVE_FACTOR = 1.5
"""A prompt reserves room for an answer this much slower than expected, plus a pause.  Turns of the context are dropped
for it, and a text that has less room is cut into pieces.  Reserving `RUNAWAY_FACTOR` would drop half of the turns of a
conversation."""

CONTEXT_SHARE = 0.75
"""Share of the positions that reference clips and turns fill before turns are dropped.  It leaves room for a sentence
of ordinary length, so that the length of a text seldom decides what is dropped."""

PIECES_PER_PROMPT = 3
"""A piece of a long text and its answer take this share of a prompt, so that the piece before it fits as context even
if its answer was slow."""

MIN_PIECE_POSITIONS = 64
"""A text is not cut into pieces shorter than this, about two seconds of speech."""


@dataclass(frozen=True)
class Piece:
    """One prompt and the limit of its answer.

    Attributes:
        text: what is said.
        prompt: its positions.
        max_frames: longest answer.
        limit_reason: why the answer ends if it gets that long.
    """

    text: str
    prompt: Prompt
    max_frames: int
    limit_reason: FinishReason


class PiecePlanner:
    """Builds the pieces of a request one by one: each has the frames of the one before it in its context.

    Raises:
        InvalidInput: the reference clips leave no room for the text.
    """

    def __init__(self, request: GenerateRequest, tokenizer: TextTokenizer, config: CsmConfig, limits: Limits) -> None:
        self._request, self._tokenizer, self._config, self._limits = request, tokenizer, config, limits
        segments = [segment_prompt(tokenizer, config.codebooks, segment) for segment in request.context]
        references = sum(segment.reference for segment in request.context)
        self._references, self._turns = segments[:references], segments[references:]
        self._request_turns = len(self._turns)
        self._frames_left = request.max_frames or limits.frames
        self._texts = self._split()
        self.expected_frames = min(expected_frames(request.text), self._frames_left)
        self.pieces = 0
        """Pieces that were built."""
        self.dropped_segments = 0

    @property
    def is_long(self) -> bool:
        """Whether the text has several pieces."""
        return self.pieces + len(self._texts) > 1

    def next_piece(self) -> Piece | None:
        """Builds the next piece; None if there is none."""
        if not self._texts or not self._frames_left:
            return None
        text, config = self._texts.pop(0), self._config
        own = text_prompt(self._tokenizer, config.codebooks, text, self._request.speaker, self._request.style)
        most = runaway_frames(text)
        # The last frame takes no position: it is never read.
        positions = config.max_positions + 1 - len(own)
        kept, dropped = trim_context(
            self._references,
            self._turns,
            room=positions - min(_reserved_frames(text), self._frames_left),
            budget=round(CONTEXT_SHARE * config.max_positions) - sum(map(len, self._references)),
            most=self._limits.context_turns,
        )
        self.dropped_segments = max(self.dropped_segments, min(dropped, self._request_turns))
        self.pieces += 1
        room = positions - sum(map(len, kept))
        frames = min(most, self._frames_left, room)
        prompt = join_prompts((*kept, own))
        return Piece(text, prompt, frames, FinishReason.RUNAWAY if frames == most else FinishReason.LENGTH)

    def record(self, piece: Piece, frames: NDArray[np.int64], usable: int) -> None:
        """Records the frames (T, Q) of a piece; the first `usable` become context of the next one."""
        self._frames_left -= len(frames)
        if usable and self._texts:
            segment = Segment(self._request.speaker, piece.text, frames[:usable])
            self._turns.append(segment_prompt(self._tokenizer, self._config.codebooks, segment))

    def _split(self) -> list[str]:
        """The text in pieces that fit a prompt."""
        request, longest = self._request, self._config.max_positions
        room = longest - sum(map(len, self._references))
        own = len(self._tokenizer.encode_segment(request.text, request.speaker, request.style))
        left = room + 1 - own  # the last frame takes no position
        if min(_reserved_frames(request.text), self._frames_left) <= left:
            return [request.text]
        frame = len(self._tokenizer.encode_segment("", request.speaker, request.style))
        most = room // PIECES_PER_PROMPT - frame
        if most < MIN_PIECE_POSITIONS:
            if min(expected_frames(request.text), self._frames_left) <= left:
                return [request.text]  # enough for an ordinary pace; a slow answer ends with LENGTH
            limit = f"must leave room for the text within {longest} positions"
            raise InvalidInput("context", f"{longest - room} positions of reference clips", limit)

        def size(text: str) -> float:
            tokens = len(self._tokenizer.encode_segment(text, request.speaker, request.style)) - frame
            return tokens + estimate_frames(text)

        return split_text(request.text, size, most)


def trim_context(
    references: Sequence[Prompt], turns: Sequence[Prompt], *, room: int, budget: int, most: int
) -> tuple[list[Prompt], int]:
    """Keeps all reference clips and the newest turns that fit.

    Turns that exceed `budget` are not dropped one by one but down to half of it.  From one request of a conversation to
    the next, the context then mostly begins with the same turn, and the prefix cache holds all but the new ones.

    Args:
        references: clips of the voice, kept in any case.
        turns: earlier turns, oldest first.
        room: positions for all of them.
        budget: positions for the turns, the same in all requests of a conversation.
        most: turns that may be kept.

    Returns:
        The segments that are kept, in order, and the number of turns that were dropped.
    """
    first, used = max(0, len(turns) - most), 0
    for index in range(first, len(turns)):
        used += len(turns[index])
        if used > budget:
            while used > budget // 2 and first < index:
                used -= len(turns[first])
                first += 1
    room -= sum(map(len, references))
    kept = 0
    for turn in reversed(turns[first:]):
        room -= len(turn)
        if room < 0:
            break
        kept += 1
    dropped = len(turns) - kept
    return [*references, *turns[dropped:]], dropped


def _reserved_frames(text: str) -> int:
    """Frames that a prompt reserves for the answer to `text`."""
    return min(runaway_frames(text), math.ceil(RESERVE_FACTOR * expected_frames(text) + SLACK_S / FRAME_S))
