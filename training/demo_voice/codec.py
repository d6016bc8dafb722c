"""The codec in a form that can be trained: Mimi's layers under the names of a Mimi checkpoint.

The codec that is served, `services/mimi`, keeps streaming state and no gradients.  A test compares the two.

Letters in shapes: B batch, T frames of 80 ms, S positions of 40 ms, D width, Q codebooks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from services.mimi.model.config import MimiConfig
from training.demo_voice.quantizer import SplitQuantizer

LAYER_SCALE = 0.1
"""Initial layer scale.  With Mimi's own, 0.01, the transformers contribute too late in a short training."""
LEVEL = 1 / 16
"""Approximate standard deviation of speech.  Within the codec sound is scaled to 1, because Adam moves all weights by
the same amount, and those of the last convolution, which would be about 0.002, by half of their value at each step.
`export` restores the scale at both ends, without loss because it is a power of two."""
BRANCH = 0.5
"""Initial standard deviation of the output of a residual block, before it is added to its input of deviation 1."""


class Conv(nn.Module):
    """A causal convolution."""

    def __init__(
        self, channels: int, outputs: int, kernel: int, *, stride: int = 1, dilation: int = 1, bias: bool = True,
        repeat: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.conv = nn.Conv1d(channels, outputs, kernel, stride, dilation=dilation, bias=bias)
        self._before = (kernel - 1) * dilation + 1 - stride
        self._mode = "replicate" if repeat else "constant"  # the signal before the beginning

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (self._before, 0), mode=self._mode) if self._before else x)


class Upsampling(nn.Module):
    """A causal transposed convolution of kernel 2 s and stride s."""

    def __init__(self, channels: int, outputs: int, stride: int, *, groups: int = 1, bias: bool = True) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose1d(channels, outputs, 2 * stride, stride, groups=groups, bias=bias)
        self._stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)[..., : x.shape[-1] * self._stride]


class Residual(nn.Module):
    """x + conv1(elu(conv_k(elu(x))))."""

    def __init__(self, channels: int, inner: int, kernel: int) -> None:
        super().__init__()
        self.block = nn.ModuleList([nn.ELU(), Conv(channels, inner, kernel), nn.ELU(), Conv(inner, channels, 1)])

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for layer in self.block:
            y = layer(y)
        return x + y


class SeaNet(nn.Module):
    """A stack of convolutions, numbered as in a Mimi checkpoint."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def encoder(config: MimiConfig) -> SeaNet:
    """Sound (B, 1, S 960) to features (B, D, S)."""
    channels = config.filters
    layers: list[nn.Module] = [Conv(1, channels, config.kernel)]
    for ratio in reversed(config.ratios):
        layers.append(Residual(channels, channels // config.compress, config.residual_kernel))
        layers += [nn.ELU(), Conv(channels, 2 * channels, 2 * ratio, stride=ratio)]
        channels *= 2
    return SeaNet([*layers, nn.ELU(), Conv(channels, config.width, config.last_kernel)])


def decoder(config: MimiConfig) -> SeaNet:
    """Features (B, D, S) to sound (B, 1, S 960)."""
    channels = config.filters * 2 ** len(config.ratios)
    layers: list[nn.Module] = [Conv(config.width, channels, config.kernel)]
    for ratio in config.ratios:
        layers += [nn.ELU(), Upsampling(channels, channels // 2, ratio)]
        channels //= 2
        layers.append(Residual(channels, channels // config.compress, config.residual_kernel))
    return SeaNet([*layers, nn.ELU(), Conv(channels, 1, config.last_kernel)])


class _Attention(nn.Module):
    frequencies: Tensor

    def __init__(self, config: MimiConfig) -> None:
        super().__init__()
        self.heads, self.window = config.heads, config.window
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (
            nn.Linear(config.width, config.width, bias=False) for _ in range(4)
        )
        half = torch.arange(0, config.head_dim, 2) / config.head_dim
        self.register_buffer("frequencies", config.rope_theta**-half, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        b, s, d = x.shape
        q, k, v = (p(x).view(b, s, self.heads, -1).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj))
        places = torch.arange(s, device=x.device)
        angles = places[:, None] * self.frequencies
        cos, sin = angles.cos().to(q.dtype), angles.sin().to(q.dtype)
        age = places[:, None] - places
        mask = (age >= 0) & (age < self.window)
        y = F.scaled_dot_product_attention(_turn(q, cos, sin), _turn(k, cos, sin), v, attn_mask=mask)
        return self.o_proj(y.transpose(1, 2).reshape(b, s, d))


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class _Scale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((width,), LAYER_SCALE))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class _Mlp(nn.Module):
    def __init__(self, width: int, ffn_width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, ffn_width, bias=False), nn.Linear(ffn_width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class _Layer(nn.Module):
    def __init__(self, config: MimiConfig) -> None:
        super().__init__()
        self.input_layernorm = nn.LayerNorm(config.width, config.norm_eps)
        self.self_attn = _Attention(config)
        self.self_attn_layer_scale = _Scale(config.width)
        self.post_attention_layernorm = nn.LayerNorm(config.width, config.norm_eps)
        self.mlp = _Mlp(config.width, config.ffn_width)
        self.mlp_layer_scale = _Scale(config.width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn_layer_scale(self.self_attn(self.input_layernorm(x)))
        return x + self.mlp_layer_scale(self.mlp(self.post_attention_layernorm(x)))


class Transformer(nn.Module):
    """Features (B, D, S) to features; each attends to a window of the past."""

    def __init__(self, config: MimiConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2)
        for layer in self.layers:
            x = layer(x)
        return x.transpose(1, 2)


class Codec(nn.Module):
    """Encoder, quantiser and decoder."""

    def __init__(self, config: MimiConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder(config)
        self.encoder_transformer = Transformer(config)
        stride = config.positions_per_frame
        self.downsample = Conv(config.width, config.width, 2 * stride, stride=stride, bias=False, repeat=True)
        self.quantizer = SplitQuantizer(config)
        self.upsample = Upsampling(config.width, config.width, stride, groups=config.width, bias=False)
        self.decoder_transformer = Transformer(config)
        self.decoder = decoder(config)

    def latents(self, samples: Tensor) -> Tensor:
        """Samples (B, T 1920) to latent frames (B, T, D)."""
        return self.downsample(self.encoder_transformer(self.encoder(samples[:, None] / LEVEL))).transpose(1, 2)

    def sound(self, latents: Tensor) -> Tensor:
        """Latent frames (B, T, D) to samples (B, T 1920)."""
        return self.decoder(self.decoder_transformer(self.upsample(latents.transpose(1, 2))))[:, 0] * LEVEL

    @torch.no_grad()
    def encode(self, samples: Tensor) -> Tensor:
        """Samples (B, T 1920) to codes (B, T, Q)."""
        return self.quantizer.encode(self.latents(samples).float())

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, T, Q) to samples (B, T 1920)."""
        return self.sound(self.quantizer.decode(codes))


@torch.no_grad()
def scale_layers(codec: Codec, samples: Tensor) -> None:
    """Scales the convolutions' first weights so that, for `samples` (B, L), each one's output has variance 1 (Mishkin &
    Matas 2016, arXiv 1511.06422).

    PyTorch's default initialization shrinks the signal at each of some twenty layers, which costs the first thousand
    training steps.
    """
    halves = (codec.encoder, codec.downsample, codec.upsample, codec.decoder)
    convs = [m for half in halves for m in half.modules() if isinstance(m, nn.Conv1d | nn.ConvTranspose1d)]

    def rescale(conv: Any, _: tuple[Tensor, ...], output: Tensor) -> Tensor:
        factor = (BRANCH if conv.kernel_size == (1,) else 1.0) / float(output.std())
        conv.weight.mul_(factor)
        return output * factor

    for conv in convs:
        if conv.bias is not None:
            conv.bias.zero_()
    hooks = [conv.register_forward_hook(rescale) for conv in convs]
    codec.sound(codec.latents(samples))
    for hook in hooks:
        hook.remove()
