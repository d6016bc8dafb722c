"""Checks of a clip that need no words: its length, level, clipping, and music in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from oviya.audio.pcm import Pcm
from services.gateway.own_voice.clip import ANALYSIS_RATE_HZ, MAX_CLIP_S, MIN_CLIP_S, Clip, refused
from services.gateway.own_voice.tones import tonal_share

FRAME_S = 0.020
LEVEL_DBFS = -26.0
"""Level of the speech that is encoded: the nominal level of telephony (ITU-T P.830), that of the demo checkpoint's
training."""
ACTIVE_DB = 30.0
"""Frames this far below the loudest one count as pauses in that level."""
SILENT_DBFS = -75.0
"""A clip whose loudest frame is below is silence: 16-bit dither is at -98, the noise of a muted input near -80."""
QUIET_DBFS = -45.0
"""Least level of the loud frames.  Speech recorded at a hand's distance is at -30 to -15."""
CLIPPED_SHARE = 0.01
"""Most samples in flat peaks.  Speech whose peaks are 12 dB beyond full scale has 3 to 30 %, at 6 dB 0.3 to 7 %, and
clean speech none."""
FLAT_SAMPLES = 3
"""Consecutive samples at full level that make a flat peak."""
MIN_SNR_DB = 12.0
"""Least distance of the loud frames from the quiet ones.  It is 3 dB more than the ratio of speech and white noise;
clean speech, also without a pause, has 15 to 50 dB."""
TONAL_SHARE = 0.09
"""Share of the time in which tones are held, from which on there is music.  Speech of seven people, of flite
and of espeak-ng has at most 0.05, songs have 0.2 and more, and speech with a song as loud 0.1 and more."""


def check_sound(clip: Clip) -> None:
    """Checks the length and the level of a clip, and that it is neither overdriven nor music.

    Raises:
        InvalidInput: says what was found, the limit, and what to do.
    """
    if not MIN_CLIP_S <= clip.duration_s <= MAX_CLIP_S:
        limit = f"must be {MIN_CLIP_S:g} to {MAX_CLIP_S:g} s long"
        hint = "record one or two sentences more" if clip.duration_s < MIN_CLIP_S else "send a part of it"
        raise refused("length", f"{clip.duration_s:.2f} s", limit, hint=hint)
    levels = frame_levels(clip.samples, round(FRAME_S * clip.rate_hz))
    if levels.max() < SILENT_DBFS:
        raise refused("silence", "silence", "must hold speech", hint="check that the microphone is not muted")
    loud = float(np.quantile(levels, 0.9))
    if loud < QUIET_DBFS:
        limit = f"its speech must be louder than {QUIET_DBFS:g} dBFS"
        raise refused("quiet", f"speech of {loud:.0f} dBFS", limit, hint="speak nearer to the microphone or turn it up")
    if (share := clipped_share(clip.samples)) > CLIPPED_SHARE:
        limit = f"at most {100 * CLIPPED_SHARE:g} % of its samples may be clipped"
        raise refused(
            "clipped", f"{100 * share:.0f} % clipped samples", limit, hint="turn the microphone down and record again"
        )
    if (share := tonal_share(clip.for_analysis(), ANALYSIS_RATE_HZ)) > TONAL_SHARE:
        limit = f"tones may be held in at most {100 * TONAL_SHARE:g} % of it"
        raise refused(
            "music", f"music or tones in {100 * share:.0f} % of it", limit, hint="record speech without music"
        )


def check_background(clip: Clip, speech: Sequence[tuple[float, float]]) -> None:
    """Checks that the speech stands out from what is heard besides it.

    Args:
        speech: where there is speech, as (start, end) in seconds.

    Raises:
        InvalidInput: noise, music or other voices are too loud.
    """
    levels = frame_levels(clip.samples, round(FRAME_S * clip.rate_hz))
    times = (np.arange(len(levels)) + 0.5) * FRAME_S
    inside = np.any([(times >= start) & (times < end) for start, end in speech], axis=0)
    # the quietest tenth: in speech without a pause, the closures of its stops
    background, loud = float(np.quantile(levels, 0.1)), float(np.quantile(levels[inside], 0.8))
    if (snr_db := loud - background) < MIN_SNR_DB:
        limit = f"speech must be at least {MIN_SNR_DB:g} dB above the background"
        raise refused("noise", f"noise {snr_db:.0f} dB below the speech", limit, hint="record in a quiet room")


def levelled(clip: Clip) -> Clip:
    """Returns the clip with its speech at `LEVEL_DBFS`, or as near to it as its peaks allow."""
    levels = frame_levels(clip.samples, round(FRAME_S * clip.rate_hz))
    active = levels[levels > levels.max() - ACTIVE_DB]
    level = 10 * np.log10(np.mean(10 ** (active / 10)))
    gain = min(10 ** ((LEVEL_DBFS - level) / 20), 1 / max(float(np.abs(clip.samples).max()), 1e-6))
    return Clip(clip.samples * np.float32(gain), clip.rate_hz)


def frame_levels(samples: Pcm, size: int) -> NDArray[np.float64]:
    """Returns the level of each frame of `size` samples in dBFS, shape (frames,)."""
    whole = len(samples) // size * size
    power = np.mean(samples[:whole].reshape(-1, size).astype(np.float64) ** 2, axis=1)
    return 10 * np.log10(power + 1e-12)


def clipped_share(samples: Pcm) -> float:
    """Returns the share of samples in flat peaks: runs at the highest level of either sign."""
    if not len(samples):
        return 0.0
    clipped = 0
    for signed in (samples, -samples):
        top = float(signed.max())
        if top < 0.1:  # a quiet recording is not overdriven
            continue
        edges = np.flatnonzero(np.diff(np.concatenate(([0], (signed > 0.995 * top).astype(np.int8), [0]))))
        lengths = edges[1::2] - edges[::2]
        clipped += int(lengths[lengths >= FLAT_SAMPLES].sum())
    return clipped / len(samples)
