"""Mimi's transformers: causal, with a sliding window, layer scale and a ring buffer of keys and values per stream.

At load, the layer scales are folded into the projections before them, and the rows of the query and key projections
are reordered so that a rotary embedding is one complex product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from services.mimi.model.arithmetic import Projection
from services.mimi.model.config import MimiConfig
from services.mimi.model.slots import Slots
from services.mimi.model.weights import Weights


@dataclass
class KVCache:
    """Keys and values of the last positions of every stream; position p is at index p modulo P of the ring.

    Attributes:
        rings: keys and values of each layer: (slots, 2, heads, P, head width).
        capacity: P, the window less one plus the longest step.
    """

    rings: list[Tensor]
    capacity: int


@dataclass(frozen=True)
class _Layer:
    norm1: tuple[Tensor, Tensor]
    norm2: tuple[Tensor, Tensor]
    qkv: Projection
    out: Projection
    up: Projection
    down: Projection


class Transformer:
    """One of the two stacks; `name` is its prefix in a checkpoint."""

    def __init__(self, weights: Weights, name: str, config: MimiConfig) -> None:
        self._config = config
        self._layers = [_load_layer(weights, f"{name}.layers.{i}", config) for i in range(config.layers)]
        device = self._layers[0].norm1[0].device
        half = torch.arange(0, config.head_dim, 2, device=device, dtype=torch.float64)
        self._fused = False
        self._frequencies = config.rope_theta ** (-half / config.head_dim)  # (head width / 2,)

    def use_kernels(self) -> None:
        """Runs short steps' attention as one Triton kernel from now on; needs a GPU."""
        self._fused = True

    def new_cache(self, slots: int, max_steps: int, device: torch.device) -> KVCache:
        """Returns the cache of `slots` streams for steps of at most `max_steps` positions."""
        config = self._config
        capacity = config.window - 1 + max_steps
        shape = (slots, 2, config.heads, capacity, config.head_dim)
        return KVCache([torch.zeros(shape, device=device) for _ in range(config.layers)], capacity)

    def __call__(self, signal: Tensor, positions: Tensor, cache: KVCache, slots: Slots) -> Tensor:
        """Runs one step.

        Args:
            signal: (B, T, D), T at most the longest step of the cache.
            positions: of each row's first input, (B,).
            cache: of all streams; only that of `slots` is read and written.
            slots: those of the rows.

        Returns:
            (B, T, D).
        """
        batch, steps, width = signal.shape
        heads, head_dim = self._config.heads, self._config.head_dim
        at = positions[:, None] + torch.arange(steps, device=signal.device)  # (B, T)
        angles = at[:, :, None, None] * self._frequencies  # float64: positions grow without bound
        turns = torch.polar(torch.ones_like(angles), angles).to(torch.complex64)  # (B, T, 1, head width / 2)
        fused = self._attend_fused(steps)
        mask = None if fused else self._mask(at, cache.capacity)
        written = self._ring_indices(at, cache.capacity, slots)
        rows = signal.reshape(batch * steps, width)
        for layer, ring in zip(self._layers, cache.rings, strict=True):
            qkv = layer.qkv(F.layer_norm(rows, (width,), *layer.norm1, self._config.norm_eps))
            pairs = qkv.view(batch, steps, 3 * heads, head_dim // 2, 2)[:, :, : 2 * heads]
            torch.view_as_complex(pairs).mul_(turns)
            ring.view(-1, head_dim).index_copy_(0, written, qkv[:, width:].reshape(-1, head_dim))
            if fused:
                found = fused(qkv, ring, slots.index, positions, steps, self._config.window)
            else:
                query = qkv.view(batch, steps, 3, heads, head_dim)[:, :, 0].transpose(1, 2)
                key, value = slots.read(ring).unbind(1)  # each (B, heads, P, head width)
                found = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
                found = found.transpose(1, 2).reshape(batch * steps, width)
            rows = layer.out.plus(found, rows)
            hidden = layer.up.gelu(F.layer_norm(rows, (width,), *layer.norm2, self._config.norm_eps))
            rows = layer.down.plus(hidden, rows)
        return rows.view(batch, steps, width)

    def _attend_fused(self, steps: int) -> Callable[[Tensor, Tensor, Tensor, Tensor, int, int], Tensor] | None:
        """Returns the attention kernel if it supports steps of this length."""
        if not self._fused:
            return None
        from services.mimi.model.gpu.attention import attend, can_attend

        return attend if can_attend(steps, self._config.head_dim) else None

    def _ring_indices(self, positions: Tensor, capacity: int, slots: Slots) -> Tensor:
        """Where the step's keys and values are written in a ring flattened to (slots 2 heads P,), (B T 2 heads,)."""
        parts = torch.arange(2 * self._config.heads, device=positions.device)
        heads = slots.index[:, None, None] * len(parts) + parts  # (B, 1, 2 heads)
        return (heads * capacity + (positions % capacity)[:, :, None]).flatten()

    def _mask(self, positions: Tensor, capacity: int) -> Tensor:
        """The additive attention mask, 0 or -inf, (B, 1, T, P)."""
        last = positions[:, -1:]  # (B, 1)
        ring = torch.arange(capacity, device=positions.device)
        held = last - (last - ring) % capacity  # the position at each index of the ring; below 0: none
        age = positions[:, :, None] - held[:, None, :]  # (B, T, P)
        seen = (age >= 0) & (age < self._config.window) & (held[:, None, :] >= 0)
        return torch.zeros(seen.shape, device=positions.device).masked_fill_(~seen, float("-inf"))[:, None]


def _load_layer(weights: Weights, name: str, config: MimiConfig) -> _Layer:
    width, ffn = config.width, config.ffn_width

    def norm(part: str) -> tuple[Tensor, Tensor]:
        return weights(f"{name}.{part}.weight", (width,)), weights(f"{name}.{part}.bias", (width,))

    def scaled(part: str, scale: str, inputs: int) -> Projection:
        factor = weights(f"{name}.{scale}.scale", (width,))
        return Projection(factor[:, None] * weights(f"{name}.{part}.weight", (width, inputs)))

    def attention(part: str) -> Tensor:
        return weights(f"{name}.self_attn.{part}.weight", (width, width))

    query, key = (_interleave(attention(part), config) for part in ("q_proj", "k_proj"))
    return _Layer(
        norm1=norm("input_layernorm"),
        norm2=norm("post_attention_layernorm"),
        qkv=Projection(torch.cat((query, key, attention("v_proj")))),
        out=scaled("self_attn.o_proj", "self_attn_layer_scale", width),
        up=Projection(weights(f"{name}.mlp.fc1.weight", (ffn, width))),
        down=scaled("mlp.fc2", "mlp_layer_scale", ffn),
    )


def _interleave(weight: Tensor, config: MimiConfig) -> Tensor:
    """Interleaves the two halves of each head, which transformers rotates as pairs (i, i + width / 2)."""
    halves = weight.view(config.heads, 2, config.head_dim // 2, config.width)
    return halves.transpose(1, 2).reshape(config.width, config.width)
