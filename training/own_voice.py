"""Measures how voices vary, for the gateway's check that one person speaks in a clip.

    python -m training.own_voice FOLDER... [--out services/gateway/own_voice/voices.json]

Each folder holds the recordings of one person, at least ten of a second or more.  Besides, voices of espeak-ng are
synthesized.  A recording that is resampled by some percent stands for another person of the same manner: a longer or
shorter vocal tract, and another pitch.

The file in the repository was made from the prompts of Debian's packages asterisk-core-sounds-fr-g722 (fr_CA_f_June),
-it-g722 (it_IT_m_Carlo), -ru-g722 (ru_RU_f_IvrvoiceRU) and asterisk-prompt-es-co (es), which leaves other people and
flite's voices for `benchmarks.own_voice`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np
import soxr
from av.error import FFmpegError
from numpy.typing import NDArray

from services.gateway.own_voice.speaker_count import MODEL_FILE
from services.gateway.own_voice.voice_features import RATE_HZ, VoicePart, voice_parts
from services.gateway.voice.espeak import SAMPLE_RATE_HZ, Delivery, Samples16, synthesize
from training.demo_voice import speech

Sound = NDArray[np.float32]

ESPEAK_VARIANTS = ("", "f2", "f4", "m1", "m3", "m5", "m7", "Alex", "Andy", "adam", "belinda", "david", "ian", "michel")
"""Voices of espeak-ng for training; `benchmarks.own_voice` uses others."""
RESAMPLED = (0.85, 0.92, 1.0, 1.09, 1.18)
RECORDINGS = 160
TEXTS = Path(speech.__file__).parent / "texts" / "held_out.txt"
SENTENCES = 16
SHRINKAGE = 0.1
"""Share of the diagonal in the covariance of a speaker's parts."""


def read_recordings(folder: Path, count: int = RECORDINGS) -> Iterator[Sound]:
    """Yields up to `count` recordings of a folder at 16 kHz, spread evenly over the sorted names."""
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    for path in paths[:: max(1, len(paths) // count)]:
        try:
            with av.open(str(path), format="g722" if path.suffix == ".g722" else None) as container:
                resampler = av.AudioResampler("flt", "mono", RATE_HZ)
                frames = [frame for decoded in container.decode(audio=0) for frame in resampler.resample(decoded)]
                frames += resampler.resample(None) if frames else []
        except FFmpegError:  # not a recording
            continue
        if sum(frame.samples for frame in frames) > RATE_HZ:
            yield np.concatenate([frame.to_ndarray()[0] for frame in frames])


def speak(text: str, variant: str) -> Sound:
    """Speaks with a voice of espeak-ng; returns samples at 16 kHz."""
    pieces: list[Samples16] = []
    synthesize(text, Delivery(f"en-us+{variant}" if variant else "en-us"), lambda piece: pieces.append(piece) or True)
    samples = np.concatenate(pieces).astype(np.float32) / np.float32(32768)
    return soxr.resample(samples, SAMPLE_RATE_HZ, RATE_HZ)


def all_parts(sounds: Iterable[Sound]) -> list[VoicePart]:
    """Returns the parts of one speaker's sounds."""
    return [part for sound in sounds for part in voice_parts(sound)]


def covariances(speakers: Iterable[list[VoicePart]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the covariance of a speaker's parts, weighted to the length of one, and that of the speakers' means."""
    means, within = [], []
    for parts in speakers:
        features, weights = np.array([part.features for part in parts]), np.array([part.weight for part in parts])
        mean = weights @ features / weights.sum()
        centred = features - mean
        means.append(mean)
        within.append((centred * weights[:, None]).T @ centred / len(parts))
    return np.mean(within, axis=0), np.cov(np.array(means).T)


def diagonalized(
    within: NDArray[np.float64], between: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the transform after which `within` is the identity and `between` is diagonal, and that diagonal."""
    shrunk = (1 - SHRINKAGE) * within + SHRINKAGE * np.diag(np.diag(within))
    whitening = np.linalg.inv(np.linalg.cholesky(shrunk))
    variances, directions = np.linalg.eigh(whitening @ between @ whitening.T)
    return np.asarray((directions.T @ whitening)[::-1], np.float64), np.clip(variances[::-1], 0, None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=MODEL_FILE)
    options = parser.parse_args()
    speakers: list[list[VoicePart]] = []
    for folder in options.folders:
        recordings = list(read_recordings(folder))
        for factor in RESAMPLED:
            some = recordings if factor == 1 else recordings[::2]
            speakers.append(all_parts(soxr.resample(sound, RATE_HZ * factor, RATE_HZ) for sound in some))
            print(f"{folder.name} at {factor:g}: {len(speakers[-1])} parts")
    texts = TEXTS.read_text("utf-8").splitlines()
    for at, variant in enumerate(ESPEAK_VARIANTS):
        sentences = texts[at::SENTENCES][:SENTENCES]
        speakers.append(all_parts(speak(text, variant) for text in sentences))
    transform, between = diagonalized(*covariances(speakers))
    content = {"transform": np.round(transform, 4).tolist(), "between": np.round(between, 3).tolist()}
    options.out.write_text(json.dumps(content) + "\n", "utf-8")
    print(f"{len(speakers)} voices, {sum(map(len, speakers))} parts")


if __name__ == "__main__":
    main()
