"""A Llama-shaped stack; each row of a batch has its own positions.

Letters in shapes: N rows of a call, T positions of a call, W width, H heads, K key-value heads, G = H / K, D head
width, S positions that attention reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from services.csm.model.config import TransformerConfig
from services.csm.model.rope import rotate, rotation_table


@dataclass(frozen=True)
class Window:
    """The T positions of a call, computed once and used by every layer.

    Attributes:
        cos, sin: rotation of each position, broadcast over heads: (N or 1, T, 1, D/2).
        mask: added to the scores, (N, 1, G * T, S); None if every position attends to all S.
    """

    cos: Tensor
    sin: Tensor
    mask: Tensor | None


class KvView(Protocol):
    """The part of a cache of keys and values that one call uses."""

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Stores the call's keys and values (N, T, K, D) and returns all that it attends to, (N, K, S, D) each."""
        ...


def weight(*shape: int) -> nn.Parameter:
    """An uninitialised weight, to be loaded from a checkpoint; untouched memory costs nothing.

    torch's own modules would fill it with random numbers.  The "meta" device avoids that, but imports some 800 modules
    at start.
    """
    return nn.Parameter(torch.empty(shape), requires_grad=False)


def rms_norm(x: Tensor, gain: Tensor, eps: float) -> Tensor:
    """Divides the last dimension by its root mean square."""
    return F.rms_norm(x, gain.shape, gain, eps)


class Layer(nn.Module):
    """Grouped-query attention and SwiGLU.  Queries, keys and values are one product; so are gate and up."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = config.heads, config.kv_heads, config.head_dim
        self.eps = config.norm_eps
        self.attention_norm = weight(config.width)
        self.qkv = weight((config.heads + 2 * config.kv_heads) * config.head_dim, config.width)
        self.attention_out = weight(config.width, config.heads * config.head_dim)
        self.ffn_norm = weight(config.width)
        self.gate_up = weight(2 * config.ffn_width, config.width)
        self.down = weight(config.width, config.ffn_width)

    def forward(self, x: Tensor, window: Window, kv: KvView, index: int) -> Tensor:
        """Runs one layer on `x` (N, T, W)."""
        x = x + self._attend(rms_norm(x, self.attention_norm, self.eps), window, kv, index)
        gate, up = F.linear(rms_norm(x, self.ffn_norm, self.eps), self.gate_up).chunk(2, dim=-1)
        return x + F.linear(F.silu(gate) * up, self.down)

    def _attend(self, x: Tensor, window: Window, kv: KvView, index: int) -> Tensor:
        n, t, _ = x.shape
        qkv = F.linear(x, self.qkv).view(n, t, self.heads + 2 * self.kv_heads, self.head_dim)
        turned = rotate(qkv[:, :, : self.heads + self.kv_heads], window.cos, window.sin)
        keys, values = kv.extend(index, turned[:, :, self.heads :], qkv[:, :, self.heads + self.kv_heads :])
        # The G query heads of a key-value head become G * T positions of one head, so that the cache is not repeated.
        queries = turned[:, :, : self.heads].unflatten(2, (self.kv_heads, -1))
        queries = queries.permute(0, 2, 3, 1, 4).reshape(n, self.kv_heads, -1, self.head_dim)
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=window.mask)
        mixed = mixed.view(n, self.kv_heads, -1, t, self.head_dim).permute(0, 3, 1, 2, 4)
        return F.linear(mixed.reshape(n, t, self.heads * self.head_dim), self.attention_out)


class Transformer(nn.Module):
    """The layers, the last norm, and the rotation of every position."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.groups = config.heads // config.kv_heads
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = weight(config.width)
        cos, sin = rotation_table(config.rope, config.head_dim, config.positions)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, x: Tensor, window: Window, kv: KvView) -> Tensor:
        """Runs `x` (N, T, W) at the window's positions; returns the normalised last layer, (N, T, W)."""
        for index, layer in enumerate(self.layers):
            x = layer(x, window, kv, index)
        return rms_norm(x, self.norm, self.config.norm_eps)

    def window_at(self, positions: Tensor, span: int) -> Window:
        """A causal window of rows at `positions` (N, T).

        `span` is S and must exceed every position; the host passes it so that nothing waits for the device.
        """
        hidden = torch.arange(span, device=positions.device) > positions[:, :, None]
        mask = torch.zeros(hidden.shape, dtype=self.norm.dtype, device=positions.device)
        mask = mask.masked_fill_(hidden, float("-inf"))
        # The first key is never masked, so no softmax is empty.
        return Window(
            cos=self.cos[positions][:, :, None],
            sin=self.sin[positions][:, :, None],
            mask=mask.repeat(1, self.groups, 1)[:, None],
        )

    def window_of_all(self, start: int, stop: int, rows: int) -> Window:
        """A causal window of `rows` rows that are all at positions `start` to `stop` - 1."""
        steps = stop - start
        mask = None
        if steps > 1:
            mask = torch.full((steps, stop), float("-inf"), dtype=self.norm.dtype, device=self.cos.device)
            mask = mask.triu_(start + 1).repeat(self.groups, 1)[None, None].expand(rows, 1, -1, -1)
        return Window(cos=self.cos[None, start:stop, None], sin=self.sin[None, start:stop, None], mask=mask)
