"""Measures the emotion service: accuracy and time for words and voices, and the effect of shaping on a voice.

    python -m benchmarks.emotion [--goemotions FOLDER] [--json FILE]

Text needs GoEmotions' `dev.tsv` and `labels.txt` in FOLDER; without it the figures of the text are left out.  Voice,
both together and shaping need flite.
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the time a sentence is that of one core
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import soxr  # pyright: ignore[reportMissingTypeStubs]

if not __package__:  # started as `python benchmarks/emotion.py`
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.report import parser_for, print_table, write_json
from oviya.model.checkpoint import shipped_checkpoint
from oviya.v1 import emotion_pb2
from services.emotion.engine import EmotionEngine, SpeakerState
from services.emotion.prosody.catalogue import Catalogue
from services.emotion.voice.baseline import NO_BASELINE
from services.emotion.voice.voice_detector import AcousticDetector
from services.emotion.voice.voice_features import measure
from services.emotion.words.lexicon import load_lexicon
from services.emotion.words.lexicon_detector import LexiconDetector
from services.emotion.words.text_detector import ClassifierDetector
from services.emotion.words.text_features import words_of
from services.emotion.words.text_model import TextModel
from services.gateway.voice.shaping import Shaper
from tests.support.speech import speak
from tests.support.styled_speech import OWN_F0, STYLES, speak_in

STYLE_NAMES = ("sad", "calm", "joyful", "firm")
_LINES = Path(__file__).with_name("emotion_sentences.txt").read_text(encoding="utf-8").splitlines()
EARLIER, SENTENCES = _LINES[:4], _LINES[4:]
"""Neutral sentences for the speaker's baseline, and those to judge."""
SHAPES = ((0.85, 0.85), (0.9, 0.9), (1.05, 1.1), (1.15, 1.05), (1.18, 1.12))
"""Pitch and rate of the table: empathetic_sad, calm_supportive, playful, joyful_excited, excited."""


def f1_by_label(chosen: np.ndarray, labels: np.ndarray) -> np.ndarray:
    right = (chosen & labels).sum(axis=0)
    return 2 * right / np.maximum(chosen.sum(axis=0) + labels.sum(axis=0), 1)


def measure_text(model: TextModel, folder: Path) -> dict[str, Any]:
    """Measures F1 for written text and for text as speech-to-text writes it, and the time per sentence in ms."""
    names = (folder / "labels.txt").read_text("utf-8").split()
    if tuple(names) != model.labels:
        raise SystemExit(f"{folder}: its labels are not the model's")
    rows = [line.split("\t") for line in (folder / "dev.tsv").read_text("utf-8").splitlines()]
    labels, written, spoken = (np.zeros((len(rows), len(names)), bool) for _ in range(3))
    times_s = []
    for row, (text, numbers, _) in enumerate(rows):
        labels[row, [int(number) for number in numbers.split(",")]] = True
        started = time.perf_counter()
        scores = model.score(text)
        times_s.append(time.perf_counter() - started)
        written[row, list(scores.labels)] = True
        heard = " ".join(word for word in words_of(text) if word[0].isalnum() or word[0] == "[")
        spoken[row, list(model.score(heard).labels)] = True
    right = (written & labels).sum()
    return {
        "macro_f1": float(f1_by_label(written, labels).mean()),
        "macro_f1_as_spoken": float(f1_by_label(spoken, labels).mean()),
        "micro_f1": float(2 * right / (written.sum() + labels.sum())),
        "sentence_ms_p50": 1000 * statistics.median(times_s),
        "sentence_ms_mean": 1000 * statistics.fmean(times_s),
        "sentence_ms_p99": 1000 * statistics.quantiles(times_s, n=100)[-1],
    }


def measure_voice(detector: AcousticDetector, earlier: int, noise_db: float | None = None) -> dict[str, Any]:
    """Measures the share of correct signs over all voices, sentences and styles, after `earlier` neutral sentences.

    `noise_db`: how far white noise lies below the neutral voice; None: there is none.
    """
    right = dict.fromkeys(STYLE_NAMES, 0)
    times_s, random = [], np.random.default_rng(0)
    for voice in OWN_F0:
        neutral = speak_in("neutral", EARLIER[0], voice)
        amplitude = 0.0 if noise_db is None else float(np.sqrt(np.mean(neutral**2))) * 10 ** (-noise_db / 20)

        def in_room(tone: str, text: str, voice: str = voice, amplitude: float = amplitude) -> np.ndarray:
            sound = speak_in(tone, text, voice)
            return (sound + random.normal(0, amplitude, len(sound))).astype(np.float32)

        baseline = NO_BASELINE
        for text in EARLIER[:earlier]:
            _, baseline = detector.judge(in_room("neutral", text), baseline, text)
        for text in SENTENCES:
            for tone in STYLE_NAMES:
                sound = in_room(tone, text)
                started = time.perf_counter()
                judgement, _ = detector.judge(sound, baseline, text)
                times_s.append((time.perf_counter() - started) / (len(sound) / 16_000))
                if judgement is not None:
                    right[tone] += np.sign(judgement.affect.valence) == STYLES[tone].valence
                    right[tone] += np.sign(judgement.affect.arousal) == STYLES[tone].arousal
    signs = 2 * len(OWN_F0) * len(SENTENCES)
    return {
        "earlier_sentences": earlier,
        "noise_db": noise_db,
        "right": sum(right.values()) / (signs * len(STYLE_NAMES)),
        "by_tone": {tone: count / signs for tone, count in right.items()},
        "ms_a_second_of_speech": 1000 * statistics.median(times_s),
    }


def measure_together(engine: EmotionEngine) -> dict[str, Any]:
    """Measures how often sad and joyful readings of the same plain sentence are answered in different tones."""
    different = total = 0
    for voice in OWN_F0:
        speaker = SpeakerState()
        for text in EARLIER:
            speaker = engine.detect(text, speak_in("neutral", text, voice), speaker).speaker
        for text in SENTENCES:
            sad, joyful = (engine.detect(text, speak_in(tone, text, voice), speaker).tone for tone in ("sad", "joyful"))
            different += (sad.mirror, sad.support) != (joyful.mirror, joyful.support)
            total += 1
    return {"answered_differently": different / total, "pairs": total}


def measure_shaping() -> dict[str, Any]:
    """Measures shaping of flite's voices: errors of pitch and rate, change of clearness, time."""
    rate_hz = 24_000
    pitch_st, rate_error, clearness_db, cost = [], [], [], []
    for voice in OWN_F0:
        for text in SENTENCES[:4]:
            sound = speak(text, rate_hz, voice) * np.float32(0.5)
            before = features_of(sound, rate_hz)
            for pitch, rate in SHAPES:
                shaper = Shaper(rate_hz, emotion_pb2.ProsodyPlan(pitch_scale=pitch, rate_scale=rate, energy_scale=1))
                started = time.perf_counter()
                parts = [shaper.push(sound[start : start + 1920]) for start in range(0, len(sound), 1920)]
                made = np.concatenate([*parts, shaper.flush()])
                cost.append((time.perf_counter() - started) / (len(sound) / rate_hz))
                after = features_of(made, rate_hz)
                pitch_st.append(abs(after.f0_mean - before.f0_mean - 12 * np.log2(pitch)))
                rate_error.append(abs(len(made) * rate / len(sound) - 1))
                clearness_db.append(after.clearness - before.clearness)
    return {
        "pitch_error_st_max": float(max(pitch_st)),
        "rate_error_max": max(rate_error),
        "clearness_change_db_mean": float(np.mean(clearness_db)),
        "clearness_change_db_worst": float(min(clearness_db)),
        "ms_a_second_of_speech": 1000 * statistics.median(cost),
    }


def features_of(sound: np.ndarray, rate_hz: int) -> Any:
    measured = measure(soxr.resample(sound, rate_hz, 16_000))
    assert measured is not None
    return measured.features


def main() -> None:
    arguments = parser_for("emotion", __doc__)
    arguments.add_argument("--goemotions", type=Path, help="folder with GoEmotions' dev.tsv and labels.txt")
    options = arguments.parse_args()
    names = {emotion.name for emotion in Catalogue.load()}
    model, voice = TextModel.load(shipped_checkpoint("emotion")), AcousticDetector(names)
    text = ClassifierDetector(model, LexiconDetector(load_lexicon(names)), names)
    figures: dict[str, Any] = {"machine": platform.machine()}
    rows: list[tuple[str, str, str]] = []
    if options.goemotions:
        found = figures["text"] = measure_text(model, options.goemotions)
        rows.append(("text: macro-F1 over 28 labels, dev.tsv", f"{found['macro_f1']:.3f}", "0.48, aim 0.54"))
        rows.append(("  without capitals and punctuation", f"{found['macro_f1_as_spoken']:.3f}", ""))
        rows.append(("  micro-F1", f"{found['micro_f1']:.3f}", ""))
        cell = f"{found['sentence_ms_p50']:.1f} / {found['sentence_ms_mean']:.1f} / {found['sentence_ms_p99']:.1f} ms"
        rows.append(("  a sentence, median / mean / p99", cell, "5 ms"))
    started = time.perf_counter()
    text.judge("i hate it i love it " * 5_000)
    figures["text_100_kb_ms"] = 1000 * (time.perf_counter() - started)
    rows.append(("  a text of 100 kB, and the lexicon", f"{figures['text_100_kb_ms']:.0f} ms", ""))
    conditions = ((4, None), (4, 20.0), (1, None), (0, None))
    figures["voice"] = [measure_voice(voice, *condition) for condition in conditions]
    for found in figures["voice"]:
        cells = ", ".join(f"{tone} {share:.0%}" for tone, share in found["by_tone"].items())
        noise = f", noise at -{found['noise_db']:.0f} dB" if found["noise_db"] else ""
        row = f"voice: signs right after {found['earlier_sentences']} neutral sentences{noise}"
        rows.append((row, f"{found['right']:.1%} ({cells})", "" if noise or found["earlier_sentences"] < 4 else "85 %"))
    rows.append(("  a second of speech", f"{figures['voice'][0]['ms_a_second_of_speech']:.1f} ms", ""))
    together = figures["together"] = measure_together(EmotionEngine(text, voice))
    row = "both: sad and joyful reading answered differently"
    rows.append((row, f"{together['answered_differently']:.0%} of {together['pairs']}", ""))
    shaping = figures["shaping"] = measure_shaping()
    cell = f"{shaping['pitch_error_st_max']:.2f} st, {shaping['rate_error_max']:.1%}"
    rows.append(("shaping: largest error of pitch, of rate", cell, ""))
    cell = f"{shaping['clearness_change_db_mean']:+.1f} / {shaping['clearness_change_db_worst']:+.1f} dB"
    rows.append(("  harmonics-to-noise ratio, mean / worst change", cell, ""))
    rows.append(("  a second of speech", f"{shaping['ms_a_second_of_speech']:.1f} ms", ""))
    print_table(f"Emotion on {platform.machine()}, one core", ("emotion", "measured", "wanted"), rows)
    write_json(options.json, figures)


if __name__ == "__main__":
    main()
