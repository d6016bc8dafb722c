"""A phone recognizer that is trained beside the codec; the distance of its features is one of the codec's losses.

A spectrum can be close in every band and still blur the differences between phones; the recognizer's features weigh
what distinguishes words.  It is trained on real speech only; otherwise recognizer and codec could adapt to each other.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.demo_voice.losses import log_mel, mel_filters
from training.demo_voice.speech import PHONES

WINDOW, HOP, BANDS = 512, 240, 64
"""Window and hop in samples (21 ms every 10 ms), and mel bands."""
WIDTH = 192


class PhoneRecognizer(nn.Module):
    """Recognizes the phone of every 40 ms.

    Letters in shapes: B batch, L samples, K 40 ms each, W width.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filters", mel_filters(BANDS, WINDOW), persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        strides = (1, 2, 1, 2, 1)
        channels = (BANDS, *[WIDTH] * (len(strides) - 1))
        self.convs = nn.ModuleList(
            nn.Conv1d(c, WIDTH, 5, stride=s, padding=2) for c, s in zip(channels, strides, strict=True)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(8, WIDTH) for _ in strides)
        self.phones = nn.Conv1d(WIDTH, len(PHONES), 1)

    def forward(self, samples: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Samples (B, L) to logits (B, phones, K) and the intermediate features."""
        with torch.autocast(samples.device.type, enabled=False):
            x = log_mel(samples, self.get_buffer("window"), HOP, self.get_buffer("filters"))[:, :-1].transpose(1, 2)
        features: list[Tensor] = []
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.gelu(norm(conv(x)))
            features.append(x)
        return self.phones(x), features

    def learn(self, samples: Tensor, phones: Tensor) -> Tensor:
        """Loss of the recognizer: samples (B, L) of real speech, phones (B, K)."""
        return F.cross_entropy(self(samples)[0].float(), phones)

    def distance(self, made: Tensor, wanted: Tensor) -> Tensor:
        """Distance between the features of two sounds (B, L), relative to the features of the real one."""
        _, features = self(torch.cat((made, wanted)))
        total = made.new_zeros(())
        for feature in features:
            a, b = feature.float().chunk(2)
            b = b.detach()
            total = total + (a - b).abs().mean() / b.abs().mean().clamp(min=1e-3)
        return total / len(features)
