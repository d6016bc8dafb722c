"""Word error rate in noise, with and without noise suppression: `python -m benchmarks.stt_noise [--voice slt]`.

White noise is added to the whole stream, at a level relative to the mean power of the sentence including its silences.
Sound is decoded as fast as possible.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.report import parser_for, print_table, quiet_logs, write_json
from benchmarks.stt_sentences import SENTENCES, TURNS
from services.stt.decode.sphinx import SphinxRecognizer
from services.stt.endpoint.endpointing import EndSilence
from services.stt.endpoint.vad import SileroVad
from services.stt.engine.events import Final
from services.stt.engine.limits import TurnLimits
from services.stt.frontend.frontend import FrontEnd
from services.stt.frontend.suppression import NoiseSuppressor
from services.stt.settings import SttSettings
from tests.support.speech import silence, speak, word_error_rate
from tests.support.stt_session import DecodingSession

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
            heard, began, heard_s = [], time.process_time(), 0.0
            for seed, text in enumerate(sentences):
                front = FrontEnd(NoiseSuppressor if suppress else None)
                session = DecodingSession(recognizer, vad.stream(), front, 16_000, limits)
                sound = noisy(text, voice, snr_db, seed)
                heard_s += len(sound) / 16_000
                events = session.push(sound) + session.finish()
                heard.append(" ".join(event.text for event in events if isinstance(event, Final)))
            rows.append(
                {
                    "voice": voice,
                    "snr_db": snr_db,
                    "suppression": suppress,
                    "published": publishing,
                    "word_error_rate": word_error_rate(heard, sentences),
                    "cpu_without_decoder": (time.process_time() - began) / heard_s,
                }
            )
    recognizer.close()
    return rows


def main() -> None:
    arguments = parser_for("stt_noise", __doc__)
    arguments.add_argument("--voice", default="slt")
    arguments.add_argument("--only", choices=["on", "off"], help="with suppression or without; both by default")
    arguments.add_argument("--sentences", type=int, default=len(SENTENCES), help=f"how many, up to {len(TURNS)}")
    arguments.add_argument("--unpublished", action="store_true", help="also without committed words before the end")
    options = arguments.parse_args()
    quiet_logs()
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
    columns = ("noise", "suppression", "published", "WER", "CPU without decoder")
    cells = [
        (
            "none" if row["snr_db"] is None else f"{row['snr_db']:.0f} dB",
            "on" if row["suppression"] else "off",
            "yes" if row["published"] else "no",
            f"{row['word_error_rate']:.1%}",
            f"{row['cpu_without_decoder']:.3f}",
        )
        for row in rows
    ]
    print_table(f"Word error rate in white noise, flite's {options.voice}", columns, cells)
    write_json(options.json, rows)


if __name__ == "__main__":
    main()
