"""The Conversational Speech Model: a backbone over positions, a depth decoder over the codebooks of one frame.

Letters in shapes: N rows, T positions, Q codebooks, V codes that the codec can decode, W backbone width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from services.csm.model.config import CsmConfig
from services.csm.model.kv import FrameKv
from services.csm.model.transformer import Transformer, weight

Choose = Callable[[Tensor, int], Tensor]
"""Picks codes (N,) from float32 logits (N, V) of the codebook with this number."""


class CsmModel(nn.Module):
    """The weights and the forward passes.  Caches and positions belong to the caller.

    The backbone is called directly: `model.backbone(x, window, kv)`.
    """

    def __init__(self, config: CsmConfig) -> None:
        super().__init__()
        self.config = config
        width, depth_width = config.backbone.width, config.depth.width
        self.text_embedding = weight(config.text_vocabulary, width)
        self.audio_embedding = weight(config.codebooks * config.audio_vocabulary, width)
        self.backbone = Transformer(config.backbone)
        self.first_head = weight(config.audio_vocabulary, width)
        self.depth_input = weight(depth_width, width)
        self.depth = Transformer(config.depth)
        self.depth_heads = weight(config.codebooks - 1, depth_width, config.audio_vocabulary)

    def embed_text(self, ids: Tensor) -> Tensor:
        """Embeds text tokens: (T,) to (T, W)."""
        return F.embedding(ids, self.text_embedding)

    def embed_frames(self, codes: Tensor) -> Tensor:
        """Embeds frames, each as the sum of its codes' embeddings: (T, Q) to (T, W)."""
        starts = torch.arange(self.config.codebooks, device=codes.device) * self.config.audio_vocabulary
        return F.embedding(codes + starts, self.audio_embedding).sum(dim=-2)

    def depth_decode(self, hidden: Tensor, kv: FrameKv, choose: Choose) -> Tensor:
        """Decodes one frame from the backbone's output at the newest position.

        The depth decoder reads `hidden` and the codes so far and predicts the next code, one codebook at a time.  Its
        keys and values start empty in every frame.

        Args:
            hidden: (N, W).
            kv: the depth decoder's keys and values, of at least N rows; overwritten.
            choose: picks a code.

        Returns:
            Codes (N, Q) int64, each below the codec's codebook size.
        """
        rows, usable = hidden.shape[0], self.config.codebook_size
        code = choose(F.linear(hidden, self.first_head[:usable]).float(), 0)
        codes = [code]
        x = torch.stack((hidden, F.embedding(code, self.audio_embedding)), dim=1)
        start = 0
        for codebook in range(1, self.config.codebooks):
            stop = codebook + 1
            window = self.depth.window_of_all(start, stop, rows)
            out = self.depth(F.linear(x, self.depth_input), window, kv.at(rows, start, stop))[:, -1]
            code = choose((out @ self.depth_heads[codebook - 1, :, :usable]).float(), codebook)
            codes.append(code)
            x = F.embedding(code + codebook * self.config.audio_vocabulary, self.audio_embedding)[:, None]
            start = stop
        return torch.stack(codes, dim=1)

    def parameter_count(self) -> int:
        """Number of weights."""
        return sum(parameter.numel() for parameter in self.parameters())
