"""The training corpus: texts, voices and styles of the utterances, and their sound in shards on disk.

A shard is an .npz of some hundred utterances.  Existing shards are not made again, so a run can be resumed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.demo_voice.speech import Speech, speak
from training.demo_voice.texts.generate import sentences
from training.demo_voice.voices import SPEAKERS, STYLES, Voice, draw_anonymous

SHARD_ITEMS = 250
KNOWN_SHARE = 0.6
"""Share of the utterances by known speakers; the rest are by anonymous voices."""
ANONYMOUS_GROUP = 10
"""Utterances of each anonymous voice: enough to serve as context for each other."""
JOINED_SHARE = 0.12
"""Share of the utterances with two sentences, so that the model learns long texts."""


@dataclass(frozen=True)
class Item:
    """One utterance to be made.

    Attributes:
        number: index in the corpus.
        text: the text.
        speaker: id of a known speaker, -1 for an anonymous voice.
        group: utterances of the same group have the same voice.
        voice: the voice.
        style: the style.
    """

    number: int
    text: str
    speaker: int
    group: int
    voice: Voice
    style: str


def plan(count: int, seed: int) -> list[Item]:
    """Returns the plan of `count` utterances in random order, reproducible by the seed."""
    random = np.random.default_rng(seed)
    texts = sentences(count + int(count * JOINED_SHARE) + 1, seed)
    styles = list(STYLES)
    items: list[Item] = []
    anonymous, group = draw_anonymous(random), len(SPEAKERS)
    left = ANONYMOUS_GROUP
    spare = iter(texts[count:])
    for number in range(count):
        text = texts[number]
        if random.random() < JOINED_SHARE:
            text = f"{text} {next(spare, '')}".strip()
        style = str(random.choice(styles))
        if random.random() < KNOWN_SHARE:
            speaker = int(random.integers(len(SPEAKERS)))
            items.append(Item(number, text, speaker, speaker, SPEAKERS[speaker], style))
            continue
        items.append(Item(number, text, -1, group, anonymous, style))
        left -= 1
        if not left:
            anonymous, group, left = draw_anonymous(random), group + 1, ANONYMOUS_GROUP
    return items


def make_shards(items: list[Item], folder: Path, *, workers: int | None = None) -> Iterator[Path]:
    """Makes the missing shards in parallel; yields each one when it exists.

    Args:
        items: all of them, in order.
        folder: for the shards.
        workers: number of processes; None: one per core.
    """
    folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, len(items), SHARD_ITEMS)
    paths = [folder / f"shard-{start // SHARD_ITEMS:05d}.npz" for start in starts]
    # Spawned, because a fork would copy locks that other threads of this process hold (PyTorch, gRPC).
    with ProcessPoolExecutor(workers or os.cpu_count(), get_context("spawn")) as pool:
        jobs = {
            pool.submit(_make_shard, items[start : start + SHARD_ITEMS], path): path
            for start, path in zip(starts, paths, strict=True)
            if not path.exists()
        }
        yield from (path for path in paths if path not in jobs.values())
        for job in as_completed(jobs):
            job.result()
            yield jobs[job]


def _make_shard(items: list[Item], path: Path) -> None:
    made: list[tuple[int, Speech]] = []
    for item in items:
        try:
            made.append((item.number, speak(item.text, item.voice, STYLES[item.style])))
        except RuntimeError as error:  # flite cannot speak every text; such an utterance is skipped
            print(f"left out {item.number}: {error}", flush=True)
    part = path.with_suffix(".part.npz")
    np.savez(
        part,
        numbers=np.array([number for number, _ in made], np.int32),
        frames=np.array([len(speech.phones) // 2 for _, speech in made], np.int32),
        samples=np.concatenate([speech.samples for _, speech in made]),
        phones=np.concatenate([speech.phones for _, speech in made]),
        pitch=np.concatenate([speech.pitch for _, speech in made]),
    )
    part.rename(path)


@dataclass(frozen=True)
class Corpus:
    """Utterances, one after the other.

    Attributes:
        numbers: (N,) of their items.
        starts: (N + 1,) start of each, in frames of 80 ms.
        samples: (frames * 1920,) int16.
        phones: (frames * 2,) uint8.
        pitch: (frames * 2,) float16, see `Speech`.
    """

    numbers: NDArray[np.int32]
    starts: NDArray[np.int64]
    samples: NDArray[np.int16]
    phones: NDArray[np.uint8]
    pitch: NDArray[np.float16]

    @property
    def hours(self) -> float:
        """The duration of the speech."""
        return len(self.samples) / 24_000 / 3600


def load_corpus(folder: Path, most_shards: int | None = None) -> Corpus:
    """Reads the existing shards: the first `most_shards`, or all."""
    shards = [np.load(path) for path in sorted(folder.glob("shard-?????.npz"))[:most_shards]]
    if not shards:
        raise FileNotFoundError(f"{folder} holds no shards")
    frames = np.concatenate([shard["frames"] for shard in shards])
    return Corpus(
        numbers=np.concatenate([shard["numbers"] for shard in shards]),
        starts=np.concatenate(([0], np.cumsum(frames, dtype=np.int64))),
        samples=np.concatenate([shard["samples"] for shard in shards]),
        phones=np.concatenate([shard["phones"] for shard in shards]),
        pitch=np.concatenate([shard["pitch"] for shard in shards]),
    )
