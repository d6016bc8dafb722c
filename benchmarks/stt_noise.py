"""Word error rate in noise, with and without noise suppression: `python -m benchmarks.stt_noise [--voice slt]`.

White noise is added to the whole stream, at a level relative to the mean power of the sentence including its silences.
Sound is decoded as fast as possible.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # for the tests' speech, and services/ where the project is not installed

from benchmarks.stt_sentences import SENTENCES, TURNS  # noqa: E402
from services.stt.decode.sphinx import SphinxRecognizer  # noqa: E402
from services.stt.endpoint.endpointing import EndSilence  # noqa: E402
from services.stt.endpoint.vad import SileroVad  # noqa: E402
from services.stt.engine.events import Final  # noqa: E402
from services.stt.engine.limits import TurnLimits  # noqa: E402
from services.stt.frontend.frontend import FrontEnd  # noqa: E402
from services.stt.frontend.suppression import NoiseSuppressor  # noqa: E402
from services.stt.settings import SttSettings  # noqa: E402
from tests.support.speech import silence, speak, word_errors  # noqa: E402
from tests.support.stt_session import DecodingSession  # noqa: E402

RESULT = ROOT / "build" / "benchmarks" / "stt_noise.json"
LEAD_S, TAIL_S = 1.0, 1.2


def noisy(text: str, voice: str, snr_db: float | None, seed: int) -> np.ndarray:
    """Returns the sentence in noise, 16 kHz, shape (samples,); `snr_db` None: without noise."""
    speech = speak(text, 16_000, voice)
    sound = np.concatenate((silence(LEAD_S), speech, silence(TAIL_S))).astype(np.float64)
    if snr_db is not None:
        power = np.mean(np.square(speech, dtype=np.float64)) / 10 ** (snr_db / 10)
        sound += np.random.default_rng(seed).normal(0, power**0.5, len(sound))
    return np.clip(sound, -1, 1).astype(np.float32)


class UnpublishedSphinx(SphinxRecognizer):
    """Returns no hypothesis before the end of a phrase."""

    def partial(self) -> None:
        return None


def measure(
    voice: str,
    snrs_db: list[float | None],
    *,
    suppressing: list[bool],
    sentences: tuple[str, ...] = SENTENCES,
    publishing: bool = True,
) -> list[dict[str, Any]]:
    """Decodes every sentence at every level of noise; returns a row of figures each."""
    settings, vad, recognizer = SttSettings(), SileroVad(), (SphinxRecognizer if publishing else UnpublishedSphinx)()
    silences = EndSilence(settings.end_silence_min_s, settings.end_silence_max_s, settings.end_silence_cap_s)
    limits = TurnLimits(settings.phrase_silence_s, silences, settings.max_turn_s)
    rows = []
    for snr_db in snrs_db:
        for suppress in suppressing:
            errors, began, heard_s = 0, time.process_time(), 0.0
            for seed, text in enumerate(sentences):
                front = FrontEnd(NoiseSuppressor if suppress else None)
                session = DecodingSession(recognizer, vad.stream(), front, 16_000, limits)
                sound = noisy(text, voice, snr_db, seed)
                heard_s += len(sound) / 16_000
                events = session.push(sound) + session.finish()
                errors += word_errors(" ".join(event.text for event in events if isinstance(event, Final)), text)
            rows.append(
                {
                    "voice": voice,
                    "snr_db": snr_db,
                    "suppression": suppress,
                    "published": publishing,
                    "word_error_rate": errors / sum(len(text.split()) for text in sentences),
                    "cpu_without_decoder": (time.process_time() - began) / heard_s,
                }
            )
    recognizer.close()
    return rows


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--voice", default="slt")
    arguments.add_argument("--only", choices=["on", "off"], help="with suppression or without; both by default")
    arguments.add_argument("--sentences", type=int, default=len(SENTENCES), help=f"how many, up to {len(TURNS)}")
    arguments.add_argument("--unpublished", action="store_true", help="also without committed words before the end")
    options = arguments.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    suppressing = {"on": [True], "off": [False], None: [True, False]}[options.only]
    rows = [
        row
        for publishing in ([True, False] if options.unpublished else [True])
        for row in measure(
            options.voice,
            [None, 20.0, 10.0],
            suppressing=suppressing,
            sentences=TURNS[: options.sentences],
            publishing=publishing,
        )
    ]
    table = Table(title=f"Word error rate in white noise, flite's {options.voice}")
    for title in ("noise", "suppression", "published", "WER", "CPU without decoder"):
        table.add_column(title, justify="right")
    for row in rows:
        noise = "none" if row["snr_db"] is None else f"{row['snr_db']:.0f} dB"
        suppression = "on" if row["suppression"] else "off"
        published = "yes" if row["published"] else "no"
        cpu = f"{row['cpu_without_decoder']:.3f}"
        table.add_row(noise, suppression, published, f"{row['word_error_rate']:.1%}", cpu)
    Console(width=120).print(table)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
