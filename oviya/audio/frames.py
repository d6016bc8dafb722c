"""PyAV's audio frames as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av import AudioFrame

SCALES: dict[tuple[str, int], tuple[int, float]] = {
    ("u", 1): (128, 128.0),
    ("i", 2): (0, 2.0**15),
    ("i", 4): (0, 2.0**31),
    ("f", 4): (0, 1.0),
    ("f", 8): (0, 1.0),
}
"""Zero and full scale of FFmpeg's sample formats by kind and bytes (libavutil/samplefmt.h)."""
FORMATS = frozenset({"u8", "u8p", "s16", "s16p", "s32", "s32p", "flt", "fltp", "dbl", "dblp"})
"""Sample formats that PyAV can convert to arrays; others are converted first."""


def planes(frame: AudioFrame) -> NDArray[np.float64]:
    """Returns a frame's samples, shape (channels, samples), full scale 1.0, in one of `FORMATS`."""
    values = frame.to_ndarray()
    by_channel = values if frame.format.is_planar else values.reshape(-1, frame.layout.nb_channels).T
    zero, full_scale = SCALES[values.dtype.kind, values.dtype.itemsize]
    return (by_channel.astype(np.float64) - zero) / full_scale
