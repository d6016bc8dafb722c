"""Split residual vector quantization: separate quantizers for the semantic and the acoustic codebooks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from services.mimi.model.arithmetic import Projection
from services.mimi.model.config import MimiConfig
from services.mimi.model.weights import Weights

NO_CODE = -1
"""Pads the codes of streams with fewer codebooks than the batch; its vector is zero."""

_MIN_USAGE = 1e-5
"""Lower bound of the usage, by which an entry's sum is divided (transformers, modeling_mimi)."""


@dataclass(frozen=True)
class _Codebook:
    vectors: Tensor  # (codes, dim)
    scores: Projection  # r . e - |e|^2 / 2: largest where |r - e| is smallest


class SplitQuantizer:
    """Turns latent frames into codes and back."""

    def __init__(self, weights: Weights, config: MimiConfig) -> None:
        self._config = config
        width, dim, first = config.width, config.codebook_dim, config.semantic_codebooks
        parts = ("semantic", first), ("acoustic", config.codebooks - first)
        vectors: list[Tensor] = []
        into: list[Tensor] = []
        out: list[Tensor] = []
        for part, count in parts:
            name = f"quantizer.{part}_residual_vector_quantizer"
            vectors += [_load_codebook(weights, f"{name}.layers.{i}.codebook", config) for i in range(count)]
            if dim != width:  # transformers has no projections if the widths are equal
                into.append(weights(f"{name}.input_proj.weight", (dim, width, 1))[:, :, 0])
                out.append(weights(f"{name}.output_proj.weight", (width, dim, 1))[:, :, 0])
        identity = torch.eye(width, device=vectors[0].device)
        self._into = Projection(torch.cat(into or [identity, identity]))  # both parts at once
        self._out = Projection(torch.cat(out or [identity, identity], 1))
        self._codebooks = [_Codebook(v, Projection(v, -0.5 * v.square().sum(1))) for v in vectors]
        zeros = vectors[0].new_zeros(1, dim)
        self._table = torch.cat((*vectors, zeros))  # all codebooks, then the row of NO_CODE
        self._starts = torch.arange(config.codebooks, device=zeros.device) * config.codebook_size

    def decode(self, codes: Tensor) -> Tensor:
        """Turns codes (B, T, Q), padded with NO_CODE, into latent frames (B, T, D)."""
        batch, frames, count = codes.shape
        rows = torch.where(codes < 0, len(self._table) - 1, codes + self._starts[:count])
        vectors = F.embedding(rows, self._table)  # (B, T, Q, dim)
        first = self._config.semantic_codebooks
        both = torch.cat((vectors[:, :, :first].sum(2), vectors[:, :, first:].sum(2)), 2)
        return self._out(both.view(batch * frames, -1)).view(batch, frames, -1)

    def encode(self, latents: Tensor, codebooks: int) -> Tensor:
        """Turns latent frames (B, T, D) into codes (B, T, Q)."""
        batch, frames, width = latents.shape
        semantic, acoustic = self._into(latents.reshape(-1, width)).chunk(2, 1)
        first = self._config.semantic_codebooks
        codes = self._residual_codes(semantic, self._codebooks[: min(first, codebooks)])
        codes += self._residual_codes(acoustic, self._codebooks[first:codebooks])
        return torch.stack(codes, 1).view(batch, frames, codebooks)

    def _residual_codes(self, rows: Tensor, codebooks: list[_Codebook]) -> list[Tensor]:
        codes: list[Tensor] = []
        for codebook in codebooks:
            found = codebook.scores(rows).argmax(1)
            rows = rows - codebook.vectors.index_select(0, found)
            codes.append(found)
        return codes


def _load_codebook(weights: Weights, name: str, config: MimiConfig) -> Tensor:
    sums = weights(f"{name}.embed_sum", (config.codebook_size, config.codebook_dim))
    usage = weights(f"{name}.cluster_usage", (config.codebook_size,))
    return sums / usage.clamp(min=_MIN_USAGE)[:, None]
