"""Distances between spectra.

Letters in shapes: B batch, L samples, M mel bands, K spectrum frames.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.demo_voice.speech import SAMPLE_RATE_HZ

FLOOR = 5e-3
"""Added to mel magnitudes before the logarithm, so that levels far below it count as equal silence."""


def mel_filters(bands: int, n_fft: int) -> Tensor:
    """Triangular filters, evenly spaced on the mel scale (2595 log10(1 + f / 700), O'Shaughnessy 1987): (n_fft / 2 + 1,
    bands)."""
    top = 2595 * torch.log10(torch.tensor(1 + SAMPLE_RATE_HZ / 2 / 700))
    edges = 700 * (10 ** (torch.linspace(0, float(top), bands + 2) / 2595) - 1)
    bins = torch.linspace(0, SAMPLE_RATE_HZ / 2, n_fft // 2 + 1)
    rising = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp(min=0)


def power(samples: Tensor, window: Tensor, hop: int) -> Tensor:
    """Power spectra of samples (B, L), one every `hop` samples, as long as the window: (B, bins, K)."""
    spectrum = torch.stft(
        samples, len(window), hop, window=window, center=True, pad_mode="constant", return_complex=True
    )
    return torch.view_as_real(spectrum).square().sum(-1)


def log_mel(samples: Tensor, window: Tensor, hop: int, filters: Tensor) -> Tensor:
    """Log mel magnitudes of samples (B, L) through filters (bins, M): (B, K, M)."""
    magnitude = power(samples, window, hop).add(1e-9).sqrt().transpose(1, 2)
    return (magnitude @ filters + FLOOR).log()


class MelDistance(nn.Module):
    """Mean absolute difference of log mel spectra at several resolutions."""

    def __init__(self, scales: tuple[tuple[int, int], ...] = ((2048, 80), (1024, 80), (512, 40), (256, 20))) -> None:
        super().__init__()
        self._scales = scales
        for n_fft, bands in scales:
            self.register_buffer(f"filters_{n_fft}", mel_filters(bands, n_fft), persistent=False)
            self.register_buffer(f"window_{n_fft}", torch.hann_window(n_fft), persistent=False)

    def forward(self, made: Tensor, wanted: Tensor) -> Tensor:
        """Samples (B, L) of both to their distance."""
        both = torch.cat((made, wanted))
        total = made.new_zeros(())
        for n_fft, _ in self._scales:
            window, filters = self.get_buffer(f"window_{n_fft}"), self.get_buffer(f"filters_{n_fft}")
            a, b = log_mel(both, window, n_fft // 4, filters).chunk(2)
            total = total + F.l1_loss(a, b)
        return total / len(self._scales)


class HarmonicDistance(nn.Module):
    """Mean absolute difference of log spectra in the range of a voice's harmonics, at a resolution that separates them.

    Mel bands are too wide: a codec trained with mel spectra alone lost all changes of pitch.
    """

    TOP_HZ = 3000.0
    SIZES = (1024, 2048)

    def __init__(self) -> None:
        super().__init__()
        for n_fft in self.SIZES:
            self.register_buffer(f"window_{n_fft}", torch.hann_window(n_fft), persistent=False)

    def forward(self, made: Tensor, wanted: Tensor) -> Tensor:
        """Samples (B, L) of both to their distance."""
        both, total = torch.cat((made, wanted)), made.new_zeros(())
        for n_fft in self.SIZES:
            of_bins = power(both, self.get_buffer(f"window_{n_fft}"), n_fft // 4)
            low = of_bins[:, : round(self.TOP_HZ / SAMPLE_RATE_HZ * n_fft)]
            a, b = (low.add(1e-9).sqrt() / n_fft**0.5 + FLOOR).log().chunk(2)
            total = total + F.l1_loss(a, b)
        return total / len(self.SIZES)


def wave_distance(made: Tensor, wanted: Tensor) -> Tensor:
    """Mean square of the difference of samples (B, L) relative to that of `wanted`: 0 for the same wave, 1 for silence.

    No convolution can count periods from frame to frame, so the codes must say where in its period a voice is when a
    frame begins; without, it speaks at the frames' own pitch (Morrison et al. 2022, arXiv 2110.10139, describe it for
    vocoders).  Magnitudes alone never ask for it, and distances that are not squared begin too slowly.
    """
    return (made - wanted).square().mean() / wanted.square().mean().clamp(min=1e-6)
