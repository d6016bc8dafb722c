"""`MIMI_WATERMARK_KEY=... python -m services.mimi.detect_watermark FILE.wav`: detects the spread-spectrum watermark.

The exit status is 0 if the mark is found, 1 if it is not, 2 if the file or the key cannot be used.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from oviya.audio.resample import Resampler
from oviya.audio.wav import read_wav
from oviya.errors import OviyaError
from services.mimi.model.config import MimiConfig
from services.mimi.settings import MimiSettings
from services.mimi.spread_spectrum import detect


def main(arguments: list[str]) -> int:
    """Checks the file and prints the result; returns the exit status."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    rate = MimiConfig().sample_rate_hz
    try:
        samples, source_hz = read_wav(Path(arguments[0]))
        resampler = Resampler(source_hz, rate)
        samples = [resampler.push(samples), resampler.flush()]
        found = detect(
            np.concatenate(samples), sample_rate_hz=rate, key=MimiSettings().watermark_key.get_secret_value()
        )
    except OviyaError as error:
        print(error, file=sys.stderr)
        return 2
    verdict = "marked with this key" if found.marked else "no mark of this key found"
    print(f"{verdict}: score {found.score:.1f}; chance alone gives as much with probability {found.false_alarm:.1e}")
    return 0 if found.marked else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
