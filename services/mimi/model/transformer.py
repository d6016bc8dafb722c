"""Mimi's transformers: causal, a sliding window, layer scale, and a ring of keys and values for every stream.

What can be done to the weights at load is: the layer scales are folded into the projections before them, and the rows
of the query and key projections are reordered so that a rotary position is one complex product.
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
class AttentionMemory:
    """Keys and values of the last positions of every stream; position p is in place p modulo P of the ring.

    Attributes:
        rings: one a layer, keys and values: (slots, 2, heads, P, head width).
        capacity: P, the window less one and the longest step.
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

    def new_memory(self, slots: int, step: int, device: torch.device) -> AttentionMemory:
        """The memory of `slots` streams for steps of at most `step` positions."""
        config = self._config
        capacity = config.window - 1 + step
        shape = (slots, 2, config.heads, capacity, config.head_dim)
        return AttentionMemory([torch.zeros(shape, device=device) for _ in range(config.layers)], capacity)

    def __call__(self, signal: Tensor, positions: Tensor, memory: AttentionMemory, slots: Slots) -> Tensor:
        """One step.

        Args:
            signal: (B, T, D), T at most the step of the memory.
            positions: of each row's first input, (B,).
            memory: of all streams; only that of `slots` is read and written.
            slots: the streams of the rows.

        Returns:
            (B, T, D).
        """
        batch, steps, width = signal.shape
        heads, head_dim = self._config.heads, self._config.head_dim
        places = positions[:, None] + torch.arange(steps, device=signal.device)  # (B, T)
        angles = places[:, :, None, None] * self._frequencies  # float64: positions grow without end
        turns = torch.polar(torch.ones_like(angles), angles).to(torch.complex64)  # (B, T, 1, head width / 2)
        fused = self._attend_fused(steps)
        mask = None if fused else self._mask(places, memory.capacity)
        kept = self._kept(places, memory.capacity, slots)
        rows = signal.reshape(batch * steps, width)
        for layer, ring in zip(self._layers, memory.rings, strict=True):
            qkv = layer.qkv(F.layer_norm(rows, (width,), *layer.norm1, self._config.norm_eps))
            pairs = qkv.view(batch, steps, 3 * heads, head_dim // 2, 2)[:, :, : 2 * heads]
            torch.view_as_complex(pairs).mul_(turns)
            ring.view(-1, head_dim).index_copy_(0, kept, qkv[:, width:].reshape(-1, head_dim))
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
        """The attention kernel, if there is one for steps of so many positions."""
        if not self._fused:
            return None
        from services.mimi.model.gpu.attention import attend, can_attend

        return attend if can_attend(steps, self._config.head_dim) else None

    def _kept(self, places: Tensor, capacity: int, slots: Slots) -> Tensor:
        """Where the step's keys and values go in a ring of heads laid end to end, (B T 2 heads,)."""
        parts = torch.arange(2 * self._config.heads, device=places.device)
        heads = slots.index[:, None, None] * len(parts) + parts  # (B, 1, 2 heads)
        return (heads * capacity + (places % capacity)[:, :, None]).flatten()

    def _mask(self, places: Tensor, capacity: int) -> Tensor:
        """What each input may look at, as 0 or -inf to add, (B, 1, T, P)."""
        last = places[:, -1:]  # (B, 1)
        ring = torch.arange(capacity, device=places.device)
        held = last - (last - ring) % capacity  # the position that each place of the ring holds now; below 0: none
        age = places[:, :, None] - held[:, None, :]  # (B, T, P)
        seen = (age >= 0) & (age < self._config.window) & (held[:, None, :] >= 0)
        return torch.zeros(seen.shape, device=places.device).masked_fill_(~seen, float("-inf"))[:, None]


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
    """Brings the two halves of each head, which transformers rotates against each other, next to each other."""
    halves = weight.view(config.heads, 2, config.head_dim // 2, config.width)
    return halves.transpose(1, 2).reshape(config.width, config.width)
