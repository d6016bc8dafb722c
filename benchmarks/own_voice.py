"""How well the checks of a clip tell one speaker from several, and speech from music.

    python -m benchmarks.own_voice [--seconds 5,10,20] [--clips 60] [--people FOLDER...] [--music FOLDER] [--json FILE]

People are the telephone prompts that tests use and the folders of recordings, one a person.  A recording that is
resampled by 15 % counts as another person.  Two speakers share a clip half and half, or sentence by sentence.  Neither
the people nor flite's voices nor these voices of espeak-ng are among those of `training.own_voice`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from benchmarks.report import parser_for, print_table, write_json
from services.gateway.own_voice.sound_checks import TONAL_SHARE
from services.gateway.own_voice.speaker_count import load_model, speaker_evidence
from services.gateway.own_voice.tones import tonal_share
from services.gateway.own_voice.voice_features import RATE_HZ, voice_parts
from tests.support import speech as flite
from tests.support.human_speech import prompts, read_prompt
from tests.support.music import chords, melody
from training.own_voice import TEXTS, read_recordings, speak

Sound = NDArray[np.float32]

FLITE = ("slt", "rms", "awb", "kal16")
ESPEAK = ("f1", "f3", "m2", "m4", "m8", "Alicia", "anika", "boris", "edward", "linda", "paul", "quincy")
RECORDINGS, SENTENCES = 40, 20
RESAMPLED = (0.85, 1.0, 1.18)
PAUSES_S = (0.15, 0.5)
MUSIC_BELOW_DB = (0, 5, 10, 20)


class Clips:
    """Draws clips from sentences of each voice."""

    def __init__(self, people: Sequence[Path]) -> None:
        texts = TEXTS.read_text("utf-8").splitlines()[:SENTENCES]
        allison = [read_prompt(prompt.name) for prompt in prompts()]
        recordings = {"allison": [sound for sound in allison if len(sound) > RATE_HZ][::3][:RECORDINGS]}
        recordings |= {folder.name: list(read_recordings(folder, RECORDINGS)) for folder in people}
        self.voices: dict[str, dict[str, list[Sound]]] = {
            "people": {
                f"{name} {factor:g}": [soxr.resample(sound, RATE_HZ * factor, RATE_HZ) for sound in sounds]
                for name, sounds in recordings.items()
                for factor in RESAMPLED
            },
            "flite": {voice: [flite.speak(text, RATE_HZ, voice) for text in texts] for voice in FLITE},
            "espeak-ng": {variant: [speak(text, variant) for text in texts] for variant in ESPEAK},
        }
        self.random = np.random.default_rng(1)

    def one(self, sounds: Sequence[Sound], seconds: float) -> list[Sound]:
        """Returns sentences and pauses of one voice, in all exactly so many seconds."""
        pieces: list[Sound] = []
        left = round(seconds * RATE_HZ)
        while left > 0:
            for at in self.random.permutation(len(sounds)):
                pause = np.zeros(round(self.random.uniform(*PAUSES_S) * RATE_HZ), np.float32)
                piece = np.concatenate((sounds[at], pause))[:left]
                pieces.append(piece)
                left -= len(piece)
                if left <= 0:
                    break
        return pieces

    def two(self, pair: Sequence[Sequence[Sound]], seconds: float, *, interleaved: bool) -> Sound:
        """Returns a clip of two voices: one after the other, or in turns."""
        first, second = (self.one(sounds, seconds / 2) for sounds in pair)
        if not interleaved:
            return np.concatenate((*first, *second))
        turns = [
            piece for at in range(max(len(first), len(second))) for piece in (*first[at : at + 1], *second[at : at + 1])
        ]
        return np.concatenate(turns)

    def pairs(self, kind: str) -> list[tuple[list[Sound], list[Sound]]]:
        """Returns all pairs of two voices of a kind, or of people and flite ("mixed"), in random order."""
        if kind == "mixed":
            people = [sounds for name, sounds in self.voices["people"].items() if name.endswith(" 1")]
            pairs = [(one, other) for one in people for other in self.voices["flite"].values()]
        else:
            voices = list(self.voices[kind].values())
            pairs = [(one, other) for at, one in enumerate(voices) for other in voices[:at]]
        return [pairs[at] for at in self.random.permutation(len(pairs))]


def is_refused(clip: Sound) -> bool:
    """Whether the check finds several speakers."""
    return speaker_evidence(voice_parts(clip), load_model()) > 0


def is_music(clip: Sound) -> bool:
    """Whether the check finds music."""
    return tonal_share(clip, RATE_HZ) > TONAL_SHARE


def percent(decisions: Sequence[bool]) -> float:
    """Share of true decisions in percent."""
    return 100 * float(np.mean(decisions))


def measure_speakers(clips: Clips, seconds: float, count: int) -> dict[str, float]:
    """Clips of one speaker that are refused, and clips of two that are found, in percent."""
    figures: dict[str, float] = {}
    for kind, voices in clips.voices.items():
        sounds = list(voices.values())
        one = [np.concatenate(clips.one(sounds[at % len(sounds)], seconds)) for at in range(count)]
        figures[f"one speaker refused, {kind}"] = percent([is_refused(clip) for clip in one])
    for kind in (*clips.voices, "mixed"):
        pairs = clips.pairs(kind)
        for name, interleaved in (("half and half", False), ("interleaved", True)):
            two = [clips.two(pairs[at % len(pairs)], seconds, interleaved=interleaved) for at in range(count // 2)]
            figures[f"two speakers found, {kind}, {name}"] = percent([is_refused(clip) for clip in two])
    return figures


def measure_music(clips: Clips, seconds: float, count: int, folder: Path | None) -> dict[str, float]:
    """Clips of music that are found, speech that is taken for music, and speech with music under it, in percent."""
    size = round(seconds * RATE_HZ)
    music = {
        "chords": [chords(seconds, seed) for seed in range(count)],
        "melodies": [melody(seconds, seed) for seed in range(count)],
    }
    if folder is not None:
        songs = [song for song in read_recordings(folder, 1000) if len(song) >= size]
        starts = [clips.random.integers(len(song) - size + 1) for song in songs for _ in range(count // len(songs))]
        music["songs"] = [
            song[start : start + size]
            for song, start in zip(np.repeat(np.array(songs, object), count // len(songs)), starts, strict=True)
        ]
    figures = {f"music found, {kind}": percent([is_music(clip) for clip in made]) for kind, made in music.items()}
    voices = [sounds for of_kind in clips.voices.values() for sounds in of_kind.values()]
    speech = [np.concatenate(clips.one(voices[at % len(voices)], seconds)) for at in range(count)]
    figures["speech taken for music"] = percent([is_music(clip) for clip in speech])
    under = music.get("songs", music["chords"])
    for below_db in MUSIC_BELOW_DB:
        mixed = [
            (one + other * 10 ** (-below_db / 20) * float(np.std(one) / np.std(other))).astype(np.float32)
            for one, other in zip(speech, under, strict=False)
        ]
        figures[f"music {below_db} dB below speech found"] = percent([is_music(clip) for clip in mixed])
    return figures


def main() -> None:
    parser = parser_for("own_voice", __doc__)
    parser.add_argument("--seconds", default="5,10,20", help="lengths of the clips")
    parser.add_argument("--clips", type=int, default=60, help="clips of each kind")
    parser.add_argument("--people", type=Path, nargs="*", default=[], help="folders of recordings, one a person")
    parser.add_argument("--music", type=Path, help="folder of music")
    options = parser.parse_args()
    clips = Clips(options.people)
    lengths = [float(length) for length in options.seconds.split(",")]
    figures: dict[str, dict[str, Any]] = {
        f"{seconds:g} s": measure_speakers(clips, seconds, options.clips)
        | measure_music(clips, seconds, options.clips, options.music)
        for seconds in lengths
    }
    names = list(next(iter(figures.values())))
    rows = [(name, *(f"{of_length[name]:.0f}" for of_length in figures.values())) for name in names]
    print_table(f"checks of clips, percent of {options.clips}", ("clips", *figures), rows)
    write_json(options.json, figures)


if __name__ == "__main__":
    main()
