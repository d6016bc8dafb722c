"""Who listens while a codec learns: a small network that tells phones from real speech, and what it makes of the made.

A spectrum can be close in every band and still blur what tells one phone from another; the recognizer's features weigh
what words hang on.  It learns from real speech only: from both, the two would agree on a language of their own.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.demo_voice.losses import log_mel, mel_filters
from training.demo_voice.speech import PHONES

WINDOW, HOP, BANDS = 512, 240, 64
"""Samples and mel bands: 21 ms every 10 ms."""
WIDTH = 192


class PhoneRecognizer(nn.Module):
    """Tells the phone of every 40 ms.

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
        """Samples (B, L) to logits (B, phones, K) and the features on the way."""
        with torch.autocast(samples.device.type, enabled=False):
            x = log_mel(samples, self.get_buffer("window"), HOP, self.get_buffer("filters"))[:, :-1].transpose(1, 2)
        features: list[Tensor] = []
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.gelu(norm(conv(x)))
            features.append(x)
        return self.phones(x), features

    def learn(self, samples: Tensor, phones: Tensor) -> Tensor:
        """Its own loss: samples (B, L) of real speech, phones (B, K)."""
        return F.cross_entropy(self(samples)[0].float(), phones)

    def distance(self, made: Tensor, wanted: Tensor) -> Tensor:
        """How differently it hears samples (B, L) of both, relative to how it hears the real ones."""
        _, features = self(torch.cat((made, wanted)))
        total = made.new_zeros(())
        for feature in features:
            a, b = feature.float().chunk(2)
            b = b.detach()
            total = total + (a - b).abs().mean() / b.abs().mean().clamp(min=1e-3)
        return total / len(features)
