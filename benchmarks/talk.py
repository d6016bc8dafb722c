"""How a conversation feels: `python -m benchmarks.talk [--only SECTION ...] [--quick]`.

It starts the six services as `oviya up` does, with the demo checkpoints and the settings of the environment, and talks
to them through Converse as users do: with a microphone that never stops, and with a loudspeaker.  The table shows each
figure beside two goals; the JSON file has every case with its events.  benchmarks/README.md says what each section
measures.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from importlib import import_module
from pathlib import Path
from typing import Any

if not __package__:  # started as `python benchmarks/talk.py`
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.report import MACHINE, parser_for, print_table, write_json
from benchmarks.stt_goals import Goal
from benchmarks.talk_goals import GOALS
from benchmarks.talk_latency import measure_latency
from benchmarks.talk_load import measure_cpu
from benchmarks.talk_mesh import Run, running_mesh, watching_lateness
from benchmarks.talk_overlap import measure_false_stops, measure_interruptions
from benchmarks.talk_underruns import measure_underruns

VOICE_SENTENCES, QUICK_VOICE_SENTENCES = 25, 3


async def measure_voice(run: Run) -> None:
    """Runs the benchmark of own voices against this mesh."""
    try:
        talk_voice: Any = import_module("benchmarks.talk_voice")
    except ModuleNotFoundError as missing:
        print(f"voice is not measured: no module {missing.name}", file=sys.stderr)
        return
    addresses = {name: run.mesh.plan.address(name) for name in talk_voice.SERVICES}
    sentences = QUICK_VOICE_SENTENCES if run.options.quick else VOICE_SENTENCES
    found = await talk_voice.measure_async(addresses, sentences)
    run.figures["voice"], run.counts["voice"] = found["voice_followed_percent"] / 100, found["sentences"]
    run.cases["voice"] = [found]


Section = Callable[[Run], Coroutine[Any, Any, None]]
WITH_STORIES: dict[str, Section] = {
    "interruptions": measure_interruptions,
    "false-stops": measure_false_stops,
    "underruns": measure_underruns,
    "cpu": measure_cpu,
}
"""Sections in which a local imitation of a language model gives long replies."""
WITH_LISTENER: dict[str, Section] = {"latency": measure_latency, "voice": measure_voice}
"""Sections in which the embedded listener answers."""
SECTIONS = [*WITH_STORIES, *WITH_LISTENER]
COUNT, QUICK_COUNT = 100, 10
MINUTES, QUICK_MINUTES = 10.0, 1.0
FAILED_COLUMNS = ("section", "kind", "sound", "said at s", "interrupted", "dropped", "understood", "confidence")


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Runs the sections; returns all figures.  SIGTERM ends it as Ctrl-C does, so that the mesh is stopped."""
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    measured: dict[str, Any] = {"machine": MACHINE, "figures": {}, "counts": {}, "cases": {}}
    for sections, stories in ((WITH_STORIES, True), (WITH_LISTENER, False)):
        chosen = {name: section for name, section in sections.items() if name in options.only}
        if not chosen:
            continue
        async with running_mesh(options, stories=stories) as run:
            for name, section in chosen.items():
                try:
                    async with watching_lateness(run, name):
                        await section(run)
                finally:  # an interrupted run keeps its results
                    for key in ("figures", "counts", "cases"):
                        measured[key] |= getattr(run, key)
                    measured["load"] = os.getloadavg()
                    write_json(options.json, measured)
    return measured


def show(measured: dict[str, Any], sections: list[str]) -> None:
    """Prints the cases that went wrong, the figures without goals, and those with goals."""
    figures, counts = measured["figures"], measured["counts"]
    failed = [
        (name, case["kind"], case["name"], f"{case['after_s']:.1f}", case["reason"],
         "; ".join(f"{reason} {text!r}" for reason, text in case["dropped"]), " | ".join(case["said"]),
         " | ".join(" ".join(f"{word:.2f}" for word in words) for words in case["confidences"]))
        for name, cases in measured["cases"].items()
        for case in cases
        if not case.get("ok", True)
    ]  # fmt: skip
    if failed:
        print_table("what went wrong", FAILED_COLUMNS, failed)
    others = [(name, counts.get(name, ""), f"{value:.3f}") for name, value in figures.items() if name not in GOALS]
    if others:
        print_table("without a goal; times in seconds", ("figure", "of", "measured"), others)
    rows = [
        (row[0], counts.get(name, ""), *row[1:])
        for name, goal in GOALS.items()
        if goal.section in sections
        for row in [goal.row(figures.get(name))]
    ]
    title = f"{MACHINE}, load {' '.join(f'{load:.1f}' for load in measured['load'])}"
    print_table(title, ("figure", "of", *Goal.COLUMNS[1:]), rows)


def main() -> None:
    arguments = parser_for("talk", __doc__)
    arguments.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, metavar="SECTION")
    arguments.add_argument("--quick", action="store_true", help=f"--count {QUICK_COUNT} --minutes {QUICK_MINUTES:g}")
    arguments.add_argument("--count", type=int, help=f"interruptions, and other sounds; {COUNT} by default")
    arguments.add_argument("--minutes", type=float, help=f"length of conversations; {MINUTES:g} by default")
    arguments.add_argument("--logs", type=Path, help="folder for the services' logs; discarded by default")
    options = arguments.parse_args()
    options.count = options.count or (QUICK_COUNT if options.quick else COUNT)
    options.minutes = options.minutes or (QUICK_MINUTES if options.quick else MINUTES)
    try:
        measured = asyncio.run(measure(options))
    except asyncio.CancelledError:
        raise SystemExit(1) from None
    show(measured, options.only)


if __name__ == "__main__":
    main()
