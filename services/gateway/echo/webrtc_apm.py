"""WebRTC's audio processing module, from the package pywebrtc-audio."""

from __future__ import annotations

from functools import cache
from typing import Any

from oviya.errors import Unavailable

ECHO_CANCELLATION = "echo_cancellation"
"""Name of this part of the gateway in degraded events, in /readyz and in metrics."""
MISSING = "the package pywebrtc-audio is not installed; replies may be heard as speech unless callers use headphones"

_NATIVE_DELAY_S = {16_000: 0.008, 32_000: 0.0081, 48_000: 0.009}
"""Delay of the echo canceller in seconds at each rate that it processes.  Other rates are resampled to the next higher
one and back, ..."""
_RESAMPLING_SAMPLES = 28
"""... which takes 24 to 31 samples.  Both are measured with band-limited noise (tests/unit/gateway/echo)."""


def apm_delay(rate_hz: int) -> int:
    """Returns the delay of the echo canceller in samples at `rate_hz`, 8,000 to 48,000."""
    native = next(rate for rate in _NATIVE_DELAY_S if rate_hz <= rate)
    return round(_NATIVE_DELAY_S[native] * rate_hz) + (0 if rate_hz == native else _RESAMPLING_SAMPLES)


@cache
def load_apm() -> type[Any]:
    """Returns the package's `AudioProcessor`.

    Raises:
        Unavailable: the package is not installed; it has no wheel for this platform or Python.
    """
    try:
        from pywebrtc_audio import AudioProcessor  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise Unavailable(ECHO_CANCELLATION, MISSING) from error
    return AudioProcessor


def find_problem() -> str:
    """Returns why no echo can be removed, and what follows; empty: it can be removed."""
    try:
        load_apm()
    except Unavailable:
        return MISSING
    return ""
