"""The scheduler's state of one request."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from services.csm.device.contract import Sampling
from services.csm.engine.pages import page_hashes
from services.csm.model.config import PAGE
from services.csm.request.pieces import Piece, PiecePlanner
from services.csm.request.request import WORST_FIRST, FinishReason, GenerationEnd

NO_ROW = -1


@dataclass(eq=False, slots=True)
class Sequence:
    """One request from its admission to its end: the piece that is generated, and the row and pages that it holds.

    Attributes:
        planner: makes the pieces of the text.
        piece: the piece that is generated now.
        sampling: how codes are drawn; of the first piece.
        lead_s: how far ahead of real time frames are made; infinite if unpaced.
        arrived_at: when the request arrived.
        hashes: of the full pages of the piece's prompt.
        row: its row on the device; NO_ROW while it is queued, and after its end.
        pages: pages that it holds, in the order of their positions.
        frames: frames of finished pieces.
        reasons: why finished pieces ended.
        prompt_positions, cached_positions: of the first piece.
    """

    planner: PiecePlanner
    piece: Piece
    sampling: Sampling
    lead_s: float
    arrived_at: float = field(default_factory=time.monotonic)
    hashes: list[bytes] = field(init=False)
    row: int = NO_ROW
    pages: list[int] = field(default_factory=list)
    frames: int = 0
    reasons: set[FinishReason] = field(default_factory=set)
    prompt_positions: int = field(init=False)
    cached_positions: int = 0

    def __post_init__(self) -> None:
        self.lead_s = self.lead_s if self.lead_s > 0 else math.inf
        self.hashes = page_hashes(self.piece.prompt)
        self.prompt_positions = len(self.piece.prompt)

    @property
    def prefix_hashes(self) -> list[bytes]:
        """Hashes of the pages that may be found in the cache: all but the one of the prompt's last position."""
        return self.hashes[: (len(self.piece.prompt) - 1) // PAGE]

    @property
    def piece_sampling(self) -> Sampling:
        """How the piece's codes are drawn.  The frames of each piece count from 0, so each has a seed of its own."""
        seed = (self.sampling.seed + self.planner.pieces - 1) % 2**64
        return Sampling(self.sampling.temperature, self.sampling.top_k, seed)

    def next_piece(self) -> bool:
        """Goes on to the next piece; False if the text has none left."""
        piece = self.planner.next_piece()
        if piece is None:
            return False
        self.piece, self.hashes = piece, page_hashes(piece.prompt)
        return True

    def end(self) -> GenerationEnd:
        """How the generation went, once the last piece has ended."""
        return GenerationEnd(
            reason=next(reason for reason in WORST_FIRST if reason in self.reasons),
            frames=self.frames,
            prompt_positions=self.prompt_positions,
            cached_positions=self.cached_positions,
            seed=self.sampling.seed,
            dropped_segments=self.planner.dropped_segments,
            pieces=self.planner.pieces,
        )
