"""Accuracy, latency and CPU time of speech-to-text on this machine.

    python -m benchmarks.stt [--voices slt rms kal16] [--rates 16000 8000] [--json FILE]

plays sentences spoken by flite to the engine in real time, in one session each.  `final after` is the time from the
last sound of speech to the final transcript, including the silence that ends the turn.  `decision to final` is the time
from the decision that the turn has ended.  CPU time is that of the service and its decoder together, per second of
sound. benchmarks/stt_noise.py measures noise; benchmarks/stt_turns.py measures ends of turns and partials.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

if not __package__:  # started as `python benchmarks/stt.py`
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.report import MACHINE, parser_for, print_table, quiet_logs, write_json
from benchmarks.stt_sentences import SENTENCES, SPEECH_LEVEL
from services.stt.backends import make_engine
from services.stt.engine.async_session import AsyncSession
from services.stt.engine.engine import SttEngine
from services.stt.engine.events import Final, Partial, SpeechStarted, TurnEnded
from services.stt.settings import SttSettings
from tests.support.speech import silence, speak, word_error_rate

MESSAGE_S = 0.020


async def watch_loop(stalls_s: list[float], every_s: float = 0.005) -> None:
    """Appends for how long the event loop was blocked, until it is cancelled."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(every_s)
        stalls_s.append(time.perf_counter() - before - every_s)


def cpu_s() -> float:
    """CPU seconds of this process and of its decoders."""
    this = psutil.Process()
    times = [process.cpu_times() for process in (this, *this.children(recursive=True))]
    return sum(one.user + one.system for one in times)


async def play(session: AsyncSession, sound: np.ndarray, rate_hz: int) -> dict[str, Any]:
    """Plays `sound` in real time; returns the transcript and times in seconds."""
    await session.open()
    events: list[tuple[float, Any]] = []
    step, started = round(rate_hz * MESSAGE_S), time.perf_counter()

    def note(event: Any) -> None:
        events.append((time.perf_counter() - started, event))

    for index in range(0, len(sound), step):
        await asyncio.sleep(max(0.0, started + min(index + step, len(sound)) / rate_hz - time.perf_counter()))
        async for event in session.push(sound[index : index + step]):
            note(event)
    for event in await session.finish():
        note(event)
    speech_end_s = np.flatnonzero(np.abs(sound) > SPEECH_LEVEL)[-1] / rate_hz
    finals = [(at_s, event) for at_s, event in events if isinstance(event, Final)]
    ended = [event for _, event in events if isinstance(event, TurnEnded)]
    final_at_s = finals[-1][0]
    speech_at_s = next(at_s for at_s, event in events if isinstance(event, SpeechStarted))
    return {
        "text": " ".join(event.text for _, event in finals),
        "final_after_s": final_at_s - speech_end_s,
        "decision_to_final_s": final_at_s - ended[-1].at_s,
        "first_partial_s": next(at_s for at_s, e in events if isinstance(e, Partial) and e.text) - speech_at_s,
    }


async def measure(voices: list[str], rates_hz: list[int]) -> list[dict[str, Any]]:
    """Plays every sentence in every voice at every rate; returns a row of figures for each voice and rate."""
    settings = SttSettings(sessions=1, warm_decoders=1)
    engine = make_engine(settings)
    await engine.start()
    rows = []
    for rate_hz in rates_hz:
        for voice in voices:
            sounds = [
                np.concatenate((silence(0.3, rate_hz), speak(text, rate_hz, voice), silence(1.2, rate_hz)))
                for text in SENTENCES
            ]
            stalls_s: list[float] = []
            watching = asyncio.create_task(watch_loop(stalls_s))
            cpu_before, heard = cpu_s(), []
            for sound in sounds:
                with engine.session(rate_hz) as session:
                    heard.append(await play(session, sound, rate_hz))
            watching.cancel()
            finals = [one["final_after_s"] for one in heard]
            rows.append(
                {
                    "voice": voice,
                    "rate_hz": rate_hz,
                    "word_error_rate": word_error_rate((one["text"] for one in heard), SENTENCES),
                    "first_partial_s": statistics.median(one["first_partial_s"] for one in heard),
                    "final_after_s_p50": statistics.median(finals),
                    "final_after_s_max": max(finals),
                    "decision_to_final_s_max": max(one["decision_to_final_s"] for one in heard),
                    "cpu_per_sound": (cpu_s() - cpu_before) / sum(len(sound) / rate_hz for sound in sounds),
                    "loop_stall_s_max": max(stalls_s),
                }
            )
    rows.append(await measure_silence(engine))
    await engine.close()
    return rows


async def measure_silence(engine: SttEngine) -> dict[str, Any]:
    """Sends ten minutes of silence as fast as possible."""
    before = cpu_s()
    with engine.session(16_000) as session:
        await session.open()
        events = [event for _ in range(600) async for event in session.push(silence(1.0))]
    cpu = (cpu_s() - before) / 600
    return {"voice": "10 min silence", "rate_hz": 16_000, "events": len(events), "cpu_per_sound": cpu}


def main() -> None:
    arguments = parser_for("stt", __doc__)
    arguments.add_argument("--voices", nargs="+", default=["slt", "rms", "kal16"])
    arguments.add_argument("--rates", nargs="+", type=int, default=[16_000, 8_000])
    options = arguments.parse_args()
    quiet_logs()
    rows = asyncio.run(measure(options.voices, options.rates))
    titles = ("voice", "Hz", "WER", "first words", "final after", "max", "decision to final", "CPU", "loop stall")
    print_table(f"Speech-to-text on {MACHINE}", titles, [(row["voice"], row["rate_hz"], *_cells(row)) for row in rows])
    write_json(options.json, rows)


def _cells(row: dict[str, Any]) -> list[str]:
    cpu = f"{row['cpu_per_sound']:.3f}"
    if "events" in row:
        return ["", "", f"{row['events']} events", "", "", cpu, ""]
    times = ("first_partial_s", "final_after_s_p50", "final_after_s_max", "decision_to_final_s_max")
    milliseconds = [f"{row[name] * 1000:.0f} ms" for name in times]
    return [f"{row['word_error_rate']:.1%}", *milliseconds, cpu, f"{row['loop_stall_s_max'] * 1000:.0f} ms"]


if __name__ == "__main__":
    main()
