"""Quality of the demo voice: intelligibility, complete sentences, style, speaker and reference clip.

    python -m benchmarks.demo_voice [--sentences 200] [--only codec,voice,style,speaker,reference,speed] [--json FILE]

speaks held-out sentences with the demo checkpoints and measures them with Whisper tiny.en and Praat.  The reference is
the same sentences from the synthesizer that the voice was trained on.  `speed` starts the mesh and speaks through it.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from benchmarks.demo_voice_measures import RATE_HZ, Prosody, Sound, Speakers, lacks_end, prosody, recognize
from benchmarks.report import parser_for, print_table, write_json
from oviya.cli.local.plan import GATEWAY, plan_on_free_ports
from oviya.cli.local.supervisor import LocalMesh
from oviya.client import Oviya
from oviya.client.events import AudioChunk
from oviya.model.checkpoint import shipped_checkpoint
from services.csm.checkpoint import load_checkpoint as load_csm
from services.csm.engine.engine import CsmEngine, EngineOptions
from services.csm.request.prompt import Segment
from services.csm.request.request import GenerateRequest, GenerationEnd
from services.mimi.checkpoint import load_checkpoint as load_mimi
from services.mimi.engine.engine import MimiEngine
from tests.support.speech import word_error_rate
from tests.support.transcripts import normalized
from training.demo_voice import speech
from training.demo_voice.voices import ANONYMOUS_IDS, HELD_OUT, SPEAKERS, STYLES, Style, Voice

HELD_OUT_TEXTS = Path(speech.__file__).parent / "texts" / "held_out.txt"
NEUTRAL = STYLES["neutral"]
CLIP_TEXT = "My brother called, and he told me about the garden."
SECTIONS = ("codec", "voice", "style", "speaker", "reference", "speed")
GOALS = {
    "codec_word_error_points": (3.0, 1.0),
    "voice_word_error_points": (8.0, 3.0),
    "last_word_missing_percent": (2.0, 0.0),
    "too_long_percent": (1.0, 0.0),
    "style_obeyed_percent": (90.0, 97.0),
    "speaker_obeyed_percent": (95.0, 99.0),
    "reference_followed_percent": (70.0, 90.0),
    "real_time_factor": (0.6, 0.3),
    "first_audio_ms": (400.0, 200.0),
}
"""Minimum and goal."""
AT_LEAST = {"style_obeyed_percent", "speaker_obeyed_percent", "reference_followed_percent"}


def synthesize(text: str, voice: Voice, style: Style = NEUTRAL) -> Sound:
    """Returns the synthesizer's sound, (samples,) at 24 kHz."""
    return speech.speak(text, voice, style).samples.astype(np.float32) / np.float32(32768)


class DemoVoice:
    """The shipped checkpoints, in this process."""

    def __init__(self, csm: Path, mimi: Path, temperature: float | None) -> None:
        self._csm = CsmEngine(load_csm(csm), EngineOptions(slots=4))
        self._mimi = MimiEngine(load_mimi(mimi, torch.device("cpu")))
        self._temperature = temperature

    def encode(self, sound: Sound) -> np.ndarray:
        """Sound to codes (T, Q)."""
        with self._mimi.open_encoder(RATE_HZ) as stream:
            return np.concatenate((stream.encode(sound).result(), stream.finish().result()))

    def decode(self, codes: np.ndarray) -> Sound:
        """Codes (T, Q) to sound."""
        with self._mimi.open_decoder() as stream:
            return stream.decode(codes).result()

    async def generate(self, request: GenerateRequest) -> tuple[np.ndarray, GenerationEnd]:
        """Text to codes (T, Q), T 0 or more, and how it went."""
        async with self._csm.generate(request) as frames:
            codes = [codes async for codes in frames]
        assert frames.end is not None, "the stream was read to its end"
        return np.concatenate(codes) if codes else np.zeros((0, self._csm.config.codebooks), np.int64), frames.end

    def say(self, requests: Sequence[GenerateRequest], title: str) -> list[Sound]:
        """Speaks several texts, four at a time."""
        free = asyncio.Semaphore(4)

        async def one(request: GenerateRequest) -> Sound:
            async with free:
                codes, _ = await self.generate(request)
            return await asyncio.to_thread(self.decode, codes) if len(codes) else np.zeros(1920, np.float32)

        async def every() -> list[Sound]:
            tasks = [asyncio.create_task(one(request)) for request in requests]
            return [await task for task in track(tasks, title, console=Console(stderr=True))]

        return asyncio.run(every())

    def request(self, text: str, speaker: int, seed: int, **changes: Any) -> GenerateRequest:
        """A request as the gateway makes it, as fast as possible."""
        style = changes.pop("style", "neutral")
        fields = {"style": style, "reference_clip": style, "temperature": self._temperature} | changes
        return GenerateRequest(text=text, speaker=speaker, seed=seed, lead_s=0.0, **fields)


def error_rate(heard: Sequence[str], texts: Sequence[str]) -> float:
    """Word error rate in percent."""
    return 100 * word_error_rate(heard, texts)


def measure_words(
    voice: DemoVoice, texts: Sequence[str], pool: ProcessPoolExecutor, sections: set[str]
) -> dict[str, Any]:
    """Word error rates, missing ends and lengths, with the speakers in turn."""
    of_text = [SPEAKERS[number % len(SPEAKERS)] for number in range(len(texts))]
    originals = list(pool.map(synthesize, texts, of_text))
    before = list(pool.map(recognize, originals))
    figures: dict[str, Any] = {"synthesizer_word_error_percent": error_rate(before, texts)}
    if "codec" in sections:
        after = list(pool.map(recognize, [voice.decode(voice.encode(sound)) for sound in originals]))
        figures["codec_word_error_percent"] = error_rate(after, texts)
        figures["codec_word_error_points"] = error_rate(after, texts) - error_rate(before, texts)
    if "voice" in sections:
        requests = [voice.request(text, n % len(SPEAKERS), n) for n, text in enumerate(texts)]
        made = voice.say(requests, "speaking")
        heard = list(pool.map(recognize, made))
        figures["voice_word_error_percent"] = error_rate(heard, texts)
        figures["voice_word_error_points"] = error_rate(heard, texts) - error_rate(before, texts)
        ends = list(pool.map(lacks_end, made, originals))
        unheard = [normalized(t).split()[-1] not in h.split()[-2:] for t, h in zip(texts, heard, strict=True)]
        missing = [t for t, end, word in zip(texts, ends, unheard, strict=True) if end and word]
        lengths = [prosody(a).length_s / prosody(b).length_s for a, b in zip(made, originals, strict=True)]
        figures["last_word_missing_percent"] = 100 * len(missing) / len(texts)
        figures["too_long_percent"] = 100 * sum(ratio > 1.5 for ratio in lengths) / len(texts)
        figures["missing"] = missing
        figures["heard"] = dict(zip(texts, heard, strict=True))
        figures["length_ratio"] = {"median": statistics.median(lengths), "largest": max(lengths)}
    return figures


def style_signs(made: Prosody, neutral: Prosody, style: Style) -> list[bool]:
    """Whether each measure that the style changes has changed in that direction."""
    changes = (
        (style.f0_mean, made.log_f0 - neutral.log_f0),
        (style.f0_range, made.f0_range - neutral.f0_range),
        (style.rate, neutral.length_s - made.length_s),
        (style.energy, made.level_db - neutral.level_db),
    )
    return [(factor > 1) == (change > 0) for factor, change in changes if factor != 1]


def measure_styles(voice: DemoVoice, texts: Sequence[str], pool: ProcessPoolExecutor) -> dict[str, Any]:
    """Signs of change relative to neutral, same sentence and speaker, also for the synthesizer."""
    jobs = [(n, text, style) for n, text in enumerate(texts) for style in STYLES]
    requests = [voice.request(text, n % len(SPEAKERS), n, style=style) for n, text, style in jobs]
    made = list(pool.map(prosody, voice.say(requests, "styles")))
    originals = [pool.submit(synthesize, text, SPEAKERS[n % len(SPEAKERS)], STYLES[style]) for n, text, style in jobs]
    model = list(pool.map(prosody, [job.result() for job in originals]))
    figures: dict[str, Any] = {}
    for name, measured in (("style_obeyed_percent", made), ("synthesizer_style_percent", model)):
        of_job = dict(zip(((n, style) for n, _, style in jobs), measured, strict=True))
        signs = {
            style: [s for n in range(len(texts)) for s in style_signs(of_job[n, style], of_job[n, "neutral"], factors)]
            for style, factors in STYLES.items()
        }
        everything = [sign for of_style in signs.values() for sign in of_style]
        figures[name] = 100 * float(np.mean(everything))
        figures[f"{name}_by_style"] = {style: 100 * float(np.mean(s)) for style, s in signs.items() if s}
    return figures


def measure_speakers(
    voice: DemoVoice, texts: Sequence[str], pool: ProcessPoolExecutor, sections: set[str]
) -> dict[str, Any]:
    """Which voice is nearest, among the known and the held-out ones."""
    everybody = {**{str(number): v for number, v in SPEAKERS.items()}, **HELD_OUT}
    lines = ("The old house stood near the river.", "I would like a cup of tea, please.", "They laughed all the way.",
             "What did you do over the summer?", "You can always ask me again.")  # fmt: skip
    samples = {
        name: [voice.decode(voice.encode(sound)) for sound in pool.map(synthesize, lines, [who] * len(lines))]
        for name, who in everybody.items()
    }
    speakers = Speakers(samples)
    figures: dict[str, Any] = {}
    if "speaker" in sections:
        jobs = [(str(number), text) for text in texts for number in SPEAKERS]
        requests = [
            voice.request(text, int(number), n, reference_clip="", style="neutral")
            for n, (number, text) in enumerate(jobs)
        ]
        found = [speakers.nearest(sound) for sound in voice.say(requests, "speakers")]
        right = [name == wanted for name, (wanted, _) in zip(found, jobs, strict=True)]
        figures["speaker_obeyed_percent"] = 100 * float(np.mean(right))
    if "reference" in sections:
        clips = {name: voice.encode(synthesize(CLIP_TEXT, who)) for name, who in HELD_OUT.items()}
        jobs = [(name, text) for text in texts for name in HELD_OUT]
        requests = [
            voice.request(
                text, ANONYMOUS_IDS[n % len(ANONYMOUS_IDS)], n, reference_clip="",
                context=(Segment(ANONYMOUS_IDS[n % len(ANONYMOUS_IDS)], CLIP_TEXT, clips[name], reference=True),),
            )
            for n, (name, text) in enumerate(jobs)
        ]  # fmt: skip
        found = [speakers.nearest(sound) for sound in voice.say(requests, "references")]
        of_voice = {
            name: 100
            * float(np.mean([f == name for f, (wanted, _) in zip(found, jobs, strict=True) if wanted == name]))
            for name in HELD_OUT
        }
        figures["reference_followed_percent"] = statistics.mean(of_voice.values())
        figures["reference_followed_by_voice"] = of_voice
    return figures


def measure_speed(texts: Sequence[str]) -> dict[str, Any]:
    """Speaks through the whole mesh: time per second of sound, and the time to the first sound."""
    with tempfile.TemporaryDirectory() as folder, LocalMesh(plan_on_free_ports(), Path(folder)) as mesh:
        mesh.start()
        mesh.wait_ready(180)

        async def run() -> tuple[list[float], list[float]]:
            firsts, factors = [], []
            async with Oviya(mesh.plan.address(GATEWAY)) as oviya:
                for text in texts:
                    began, first, samples, rate_hz = time.perf_counter(), None, 0, RATE_HZ
                    async for event in oviya.speak(text):
                        if isinstance(event, AudioChunk):
                            first = first or time.perf_counter() - began
                            samples, rate_hz = samples + len(event.samples), event.sample_rate_hz
                    firsts.append(1e3 * (first or 0.0))
                    factors.append((time.perf_counter() - began) / (samples / rate_hz))
            return firsts, factors

        firsts, factors = asyncio.run(run())
    return {
        "first_audio_ms": statistics.median(firsts),
        "first_audio_ms_worst": max(firsts),
        "real_time_factor": statistics.median(factors),
    }


def show(figures: dict[str, Any]) -> None:
    """Prints the figures and their goals."""
    rows = []
    for name, (least, aim) in GOALS.items():
        if name in figures:
            good = figures[name] >= least if name in AT_LEAST else figures[name] <= least
            rows.append((name, f"{figures[name]:.2f}{'' if good else ' !'}", f"{least:g}", f"{aim:g}"))
    rows += [
        (name, f"{value:.2f}") for name, value in figures.items() if name not in GOALS and isinstance(value, float)
    ]
    shown = [(name.replace("_", " "), *cells) for name, *cells in rows]
    print_table(f"demo voice, {os.cpu_count()} cores", ("figure", "measured", "at least", "aim"), shown)


def main() -> None:
    """Runs the requested sections."""
    parser = parser_for("demo_voice", __doc__)
    parser.add_argument("--sentences", type=int, default=200, help="held-out sentences for the word error rates")
    parser.add_argument("--only", default=",".join(SECTIONS), help=f"some of {', '.join(SECTIONS)}")
    parser.add_argument("--csm", type=Path, default=None, help="checkpoint to use in place of the included one")
    parser.add_argument("--mimi", type=Path, default=None)
    parser.add_argument("--temperature", type=float, default=None)
    options = parser.parse_args()
    sections = set(options.only.split(","))
    texts = HELD_OUT_TEXTS.read_text().splitlines()[: options.sentences]
    torch.set_num_threads(1)
    figures: dict[str, Any] = {}
    if sections - {"speed"}:
        voice = DemoVoice(
            options.csm or shipped_checkpoint("demo-csm"), options.mimi or shipped_checkpoint("demo-mimi"),
            options.temperature,
        )  # fmt: skip
        with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
            if sections & {"codec", "voice"}:
                figures |= measure_words(voice, texts, pool, sections)
            if "style" in sections:
                figures |= measure_styles(voice, texts[:: max(1, len(texts) // 24)], pool)
            if sections & {"speaker", "reference"}:
                figures |= measure_speakers(voice, texts[:: max(1, len(texts) // 25)], pool, sections)
    if "speed" in sections:
        figures |= measure_speed(texts[:20])
    show(figures)
    write_json(options.json, figures)


if __name__ == "__main__":
    main()
