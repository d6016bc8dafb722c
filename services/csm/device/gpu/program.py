"""A whole frame on the device: backbone step, depth decoder passes, sampling and the next position.

The host writes the inputs of a frame (which rows run, where their pages are) and reads the codes; everything else stays
on the device.  The kernels can be launched one by one, or captured as a CUDA graph and launched at once.

Letters in shapes: N rows, Q codebooks, P pages of a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from services.csm.device.gpu.attention import attend, attend_depth, store_kv
from services.csm.device.gpu.sample import draw, finish_frame
from services.csm.device.gpu.stack import Pass, make_pass, run_layers
from services.csm.device.gpu.weights import FrameWeights
from services.csm.model.config import PAGE, CsmConfig
from services.csm.model.csm import CsmModel

OnLogits = Callable[[int, Tensor], None]
"""Called with a codebook's number and its logits, (N, at least V)."""


@dataclass(frozen=True)
class FrameState:
    """State of the rows between frames; a program of N rows works on the first N.

    Attributes:
        newest: (N, W) float32, the embedding of the newest position, not yet in the cache.
        positions: (N,) int32, where that position is.
        frames: (N,) int64, frames made so far.
        active: (N,) int32, 1 if the row runs.
        seeds: (N,) int64; temperatures: (N,) float32; top_ks: (N,) int32.
        tables: (N, P) int32, each row's pages in order.
        k_pages, v_pages: (layers, pages, K, PAGE, D).
        codes: (N, Q) int32, the newest frame.
        depth_keys, depth_values: (layers, N, K, positions of a frame, D), overwritten by each frame.
    """

    newest: Tensor
    positions: Tensor
    frames: Tensor
    active: Tensor
    seeds: Tensor
    temperatures: Tensor
    top_ks: Tensor
    tables: Tensor
    k_pages: Tensor
    v_pages: Tensor
    codes: Tensor
    depth_keys: Tensor
    depth_values: Tensor


def make_state(model: CsmModel, *, rows: int, pages: int) -> FrameState:
    """A state with `pages` pages and no active row, on the model's device."""
    config, weight = model.config, model.audio_embedding
    backbone, depth = config.backbone, config.depth
    frame_positions = max(16, 1 << (config.codebooks - 1).bit_length())  # the smallest tile of a matrix product

    def zeros(*shape: int, dtype: torch.dtype) -> Tensor:
        return torch.zeros(shape, device=weight.device, dtype=dtype)

    kv_shape = (backbone.layers, pages, backbone.kv_heads, PAGE, backbone.head_dim)
    depth_shape = (depth.layers, rows, depth.kv_heads, frame_positions, depth.head_dim)
    return FrameState(
        newest=zeros(rows, backbone.width, dtype=torch.float32),
        positions=zeros(rows, dtype=torch.int32),
        frames=zeros(rows, dtype=torch.int64),
        active=zeros(rows, dtype=torch.int32),
        seeds=zeros(rows, dtype=torch.int64),
        temperatures=zeros(rows, dtype=torch.float32),
        top_ks=torch.ones(rows, device=weight.device, dtype=torch.int32),
        tables=zeros(rows, config.max_pages, dtype=torch.int32),
        k_pages=zeros(*kv_shape, dtype=weight.dtype),
        v_pages=zeros(*kv_shape, dtype=weight.dtype),
        codes=zeros(rows, config.codebooks, dtype=torch.int32),
        depth_keys=zeros(*depth_shape, dtype=weight.dtype),
        depth_values=zeros(*depth_shape, dtype=weight.dtype),
    )


class FrameProgram:
    """Makes one frame of the first `rows` rows.

    Args:
        config: the model's sizes.
        weights: its weights.
        state: of the rows.
        rows: N.
    """

    def __init__(self, config: CsmConfig, weights: FrameWeights, state: FrameState, rows: int) -> None:
        self.rows = rows
        self._on_logits: OnLogits | None = None
        self._config, self._weights, self._state = config, weights, state
        device, depth = weights.audio_table.device, config.depth
        self._row_numbers = torch.arange(rows, device=device, dtype=torch.int32)
        self._residual = torch.empty(rows, config.backbone.width, device=device, dtype=torch.float32)
        # The first two positions of a frame run together; the others run one by one.
        self._first_residual = torch.empty(2 * rows, depth.width, device=device, dtype=torch.float32)
        self._depth_residual = torch.empty(rows, depth.width, device=device, dtype=torch.float32)
        # With few rows most multiprocessors would be idle, so several share the pages of a row.
        programs = rows * config.backbone.kv_heads
        self._splits = 1 << max(0, min(4, (128 // programs).bit_length() - 1))

    @torch.inference_mode()
    def run(self, on_logits: OnLogits | None = None) -> None:
        """Launches the kernels of one frame on the current CUDA stream, without waiting for them.

        Args:
            on_logits: called with the logits of every codebook.
        """
        self._on_logits = on_logits
        config, weights, state, rows = self._config, self._weights, self._state, self.rows
        positions = torch.where(state.active[:rows] != 0, state.positions[:rows], -1)

        self._residual.copy_(state.newest[:rows])
        backbone_pass = make_pass(self._residual, config.backbone.norm_eps)
        run_layers(weights.backbone, backbone_pass, lambda layer, qkv: self._attend(layer, qkv, positions))
        first_logits = backbone_pass.normed_linear(weights.heads[0])
        self._first_residual[:rows].copy_(backbone_pass.normed_linear(weights.depth_input))
        self._draw(first_logits, 0, self._first_residual[rows:])

        depth_pass = self._run_depth(self._first_residual, (0, 1))
        self._draw(depth_pass.normed_linear(weights.heads[1])[rows:], 1, self._depth_residual)
        for codebook in range(2, config.codebooks):
            depth_pass = self._run_depth(self._depth_residual, (codebook,))
            self._draw(depth_pass.normed_linear(weights.heads[codebook]), codebook, self._depth_residual)
        finish_frame(
            state.codes[:rows], weights.audio_table, state.newest, state.active, state.positions, state.frames,
            config.audio_vocabulary,
        )  # fmt: skip

    def _attend(self, layer: int, qkv: Tensor, positions: Tensor) -> Tensor:
        state, stack, sizes = self._state, self._weights.backbone, self._config.backbone
        q = torch.empty(self.rows, sizes.heads, sizes.head_dim, device=qkv.device, dtype=state.k_pages.dtype)
        pages = (state.k_pages[layer], state.v_pages[layer], state.tables, self._row_numbers, positions)
        store_kv(qkv, q, *pages, stack.cos, stack.sin)
        out = torch.empty_like(q)
        attend(q, *pages, out, splits=self._splits)
        return out.view(self.rows, -1)

    def _run_depth(self, residual: Tensor, positions: Sequence[int]) -> Pass:
        """Runs the depth decoder over `residual`: all rows at the first of `positions`, then all rows at the next."""
        lines, sizes = residual.shape[0], self._config.depth
        stack = self._weights.single_depth if lines == 1 else self._weights.depth
        current = make_pass(residual, sizes.norm_eps)

        def attention(layer: int, qkv: Tensor) -> Tensor:
            out = torch.empty(
                lines, sizes.heads * sizes.head_dim, device=qkv.device, dtype=self._state.depth_keys.dtype
            )
            keys, values = self._state.depth_keys[layer, : self.rows], self._state.depth_values[layer, : self.rows]
            each = zip(positions, qkv.split(self.rows), out.split(self.rows), strict=True)
            for position, qkv_there, out_there in each:
                attend_depth(qkv_there, keys, values, stack.cos, stack.sin, out_there, position)
            return out

        run_layers(stack, current, attention)
        return current

    def _draw(self, logits: Tensor, codebook: int, following: Tensor) -> None:
        state, more = self._state, codebook + 1 < self._config.codebooks
        if self._on_logits is not None:
            self._on_logits(codebook, logits)
        draw(
            logits, codebook, state.codes, usable=self._config.codebook_size,
            seeds=state.seeds, frames=state.frames, temperatures=state.temperatures, top_ks=state.top_ks,
            table=self._weights.depth_table if more else None, vocabulary=self._config.audio_vocabulary,
            following=following if more else None,
        )  # fmt: skip
