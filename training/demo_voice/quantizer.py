"""The quantiser of the codec in training: codebook entries are running means of the rows assigned to them (van den Oord
et al. 2017, arXiv 1711.00937, appendix A), and unused entries are replaced at random.

No value is read back from the device, so that a training step can be one CUDA graph.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from services.mimi.model.config import MimiConfig

DECAY = 0.99
DEAD_BELOW = 0.05
"""An entry with a lower running mean of uses per batch is dead."""


class _Codebook(nn.Module):
    """Entries as a Mimi checkpoint stores them: their running sum and their running number of uses."""

    embed_sum: Tensor
    cluster_usage: Tensor

    def __init__(self, size: int, dim: int, *, reserved: bool) -> None:
        super().__init__()
        self._reserved = reserved
        self.register_buffer("initialized", torch.ones(1))
        self.register_buffer("cluster_usage", torch.zeros(size))
        self.register_buffer("embed_sum", torch.zeros(size, dim))

    def vectors(self) -> Tensor:
        """(codes, dim)."""
        return self.embed_sum / self.cluster_usage.clamp(min=1e-5)[:, None]

    def nearest(self, rows: Tensor) -> Tensor:
        """Rows (N, dim) to their codes, (N,)."""
        vectors = self.vectors()
        scores = rows @ vectors.T - 0.5 * vectors.square().sum(1)
        return scores[:, 1:].argmax(1) + 1 if self._reserved else scores.argmax(1)

    def close_reserved(self) -> None:
        """Moves a reserved entry so far away that it is never the nearest one."""
        if self._reserved:
            farthest = self.vectors()[1:].norm(dim=1).max()
            self.embed_sum[0] = 4 * farthest / self.embed_sum.shape[1] ** 0.5
            self.cluster_usage[0] = 1.0

    @torch.no_grad()
    def learn(self, rows: Tensor, codes: Tensor) -> None:
        """Moves the entries `codes` (N,) towards the rows (N, dim) assigned to them, and replaces dead ones."""
        uses = torch.zeros_like(self.cluster_usage).index_add_(0, codes, torch.ones_like(rows[:, 0]))
        sums = torch.zeros_like(self.embed_sum).index_add_(0, codes, rows)
        self.cluster_usage.mul_(DECAY).add_(uses, alpha=1 - DECAY)
        self.embed_sum.mul_(DECAY).add_(sums, alpha=1 - DECAY)
        size = len(self.cluster_usage)
        anybody = rows[torch.randint(len(rows), (size,), device=rows.device)]
        dead = self.cluster_usage < DEAD_BELOW
        self.embed_sum.copy_(torch.where(dead[:, None], anybody, self.embed_sum))
        self.cluster_usage.copy_(torch.where(dead, 1.0, self.cluster_usage))


class _Layer(nn.Module):
    def __init__(self, size: int, dim: int, *, reserved: bool) -> None:
        super().__init__()
        self.codebook = _Codebook(size, dim, reserved=reserved)


class ResidualQuantizer(nn.Module):
    """Residual codebooks: each quantises what those before it left.

    Args:
        config: sizes.
        codebooks: number of codebooks.
        reserved: whether code 0 of the first one is never used, because a frame of zeros ends a CSM's speech.
    """

    def __init__(self, config: MimiConfig, codebooks: int, *, reserved: bool) -> None:
        super().__init__()
        self.input_proj = nn.Conv1d(config.width, config.codebook_dim, 1, bias=False)
        self.output_proj = nn.Conv1d(config.codebook_dim, config.width, 1, bias=False)
        self.layers = nn.ModuleList(
            _Layer(config.codebook_size, config.codebook_dim, reserved=reserved and not i) for i in range(codebooks)
        )

    def codebooks(self) -> list[_Codebook]:
        """The codebooks, coarsest first."""
        return [layer.codebook for layer in self.layers]  # type: ignore[misc]

    def into(self, latents: Tensor) -> Tensor:
        """Latents (N, D) to rows (N, dim)."""
        return F.linear(latents, self.input_proj.weight[:, :, 0])

    def out(self, rows: Tensor) -> Tensor:
        """Rows (N, dim) to latents (N, D)."""
        return F.linear(rows, self.output_proj.weight[:, :, 0])

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Quantises rows (N, dim), with the gradient of the rows; returns also the commitment loss.  Updates the
        entries."""
        rest, found = rows.detach(), torch.zeros_like(rows)
        commitment = rows.new_zeros(())
        for codebook in self.codebooks():
            codes = codebook.nearest(rest)
            vectors = codebook.vectors()[codes]
            if self.training:
                codebook.learn(rest, codes)
            found = found + vectors
            rest = rest - vectors
            commitment = commitment + (rows - found).square().mean()
        return rows + (found - rows).detach(), commitment


class SplitQuantizer(nn.Module):
    """One semantic codebook and several acoustic ones."""

    def __init__(self, config: MimiConfig) -> None:
        super().__init__()
        first = config.semantic_codebooks
        self.semantic_residual_vector_quantizer = ResidualQuantizer(config, first, reserved=True)
        self.acoustic_residual_vector_quantizer = ResidualQuantizer(config, config.codebooks - first, reserved=False)

    @property
    def parts(self) -> tuple[ResidualQuantizer, ResidualQuantizer]:
        """Semantic, acoustic."""
        return self.semantic_residual_vector_quantizer, self.acoustic_residual_vector_quantizer

    def forward(self, latents: Tensor, through: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantises.

        Args:
            latents: (B, T, D).
            through: (B,) bool, rows of the batch that pass unquantised, for training before the codes are good.

        Returns:
            latents (B, T, D), quantised semantic rows (B, T, dim), commitment loss.
        """
        b, t, _ = latents.shape
        rows = latents.flatten(0, 1)
        total, commitment, meaning = torch.zeros_like(rows), rows.new_zeros(()), rows
        passes = through.repeat_interleave(t)[:, None]
        for part in self.parts:
            inner = part.into(rows)
            found, loss = part(inner)
            if part is self.semantic_residual_vector_quantizer:
                meaning = found
            total = total + part.out(torch.where(passes, inner, found))
            commitment = commitment + loss
        return total.view(b, t, -1), meaning.view(b, t, -1), commitment

    def encode(self, latents: Tensor) -> Tensor:
        """Latents (B, T, D) to codes (B, T, Q)."""
        rows, codes = latents.flatten(0, 1), []
        for part in self.parts:
            rest = part.into(rows)
            for codebook in part.codebooks():
                codes.append(codebook.nearest(rest))
                rest = rest - codebook.vectors()[codes[-1]]
        return torch.stack(codes, 1).view(*latents.shape[:2], -1)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, T, Q) to latents (B, T, D)."""
        total, start = torch.zeros((), device=codes.device), 0
        for part in self.parts:
            books = part.codebooks()
            found = sum(book.vectors()[codes[..., start + i]] for i, book in enumerate(books))
            total, start = total + part.out(found), start + len(books)  # type: ignore[arg-type]
        return total
