"""The whole mesh on this machine: start-up time, memory and response time.

    python benchmarks/conversation.py [--runs 5] [--json FILE]

starts the six services on free ports, as `oviya up` does, and plays a question, spoken by flite, several times in real
time through Converse.  It prints three tables and writes all figures as JSON.  `first audio here` is the time at the
caller from sending the last speech to receiving the first reply audio.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from oviya.audio.wav import read_wav
from oviya.cli.conversation_record import TurnRecord
from oviya.cli.local.plan import GATEWAY, plan_on_free_ports
from oviya.cli.local.supervisor import LocalMesh
from oviya.cli.player import play_recording
from oviya.client import Oviya

QUESTION = "what should i do when i feel sad and lonely"
READY_TIMEOUT_S = 180.0
GOALS = {"ready_s": 20.0, "pss_mib": 1126.0, "first_audio_here_s": 1.5}
MIB = 1 << 20


def record_question(path: Path) -> None:
    """Writes the question, spoken by flite's voice slt at 16 kHz."""
    flite = shutil.which("flite")
    if flite is None:
        raise SystemExit("this benchmark needs flite: apt install flite")
    subprocess.run([flite, "-voice", "slt", "-t", QUESTION, "-o", path], check=True, capture_output=True)


async def ask(address: str, recording: Path) -> TurnRecord:
    """Plays the recording once, in a new session; returns the turn."""
    samples, rate_hz = read_wav(recording)
    async with Oviya(address) as oviya, oviya.converse(input_rate_hz=rate_hz) as conversation:
        record = await play_recording(conversation, samples, rate_hz)
    turns = list(record.turns.values())
    if len(turns) != 1 or not turns[0].chunks:
        raise SystemExit(f"expected one turn with an answer, got {turns}")
    return turns[0]


def memory_mib(mesh: LocalMesh) -> dict[str, float]:
    """Proportional set size of each service with its children, in MiB: shared pages are divided among their
    processes."""
    return {name: service.measure_memory() / MIB for name, service in mesh.services.items()}


def measure(runs: int) -> dict[str, Any]:
    """Starts the mesh, holds the conversations, stops it; returns the figures."""
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "question.wav"
        record_question(recording)
        mesh = LocalMesh(plan_on_free_ports(), Path(folder) / "logs")
        with mesh:
            started_at = time.monotonic()
            mesh.start()
            mesh.wait_ready(READY_TIMEOUT_S)
            ready_s = time.monotonic() - started_at
            at_start = memory_mib(mesh)
            turns = [asyncio.run(ask(mesh.plan.address(GATEWAY), recording)) for _ in range(runs)]
            afterwards = memory_mib(mesh)
            ready_after = {name: service.ready_after_s for name, service in mesh.services.items()}
    return {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "ready_s": ready_s,
        "service_ready_s": ready_after,
        "pss_mib": sum(afterwards.values()),
        "service_pss_mib": {name: {"ready": at_start[name], "after": afterwards[name]} for name in at_start},
        "runs": [{"transcript": turn.transcript.text if turn.transcript else "", **turn.latencies} for turn in turns],
        "first_audio_here_s": statistics.median(turn.first_audio_here_s or 0.0 for turn in turns),
        "goals": GOALS,
    }


def show(figures: dict[str, Any]) -> None:
    """Prints the figures."""
    console = Console()
    services = Table("service", "ready after", "PSS ready", "PSS after", title="services")
    for name, size in figures["service_pss_mib"].items():
        ready = f"{figures['service_ready_s'][name]:.1f} s"
        services.add_row(name, ready, f"{size['ready']:.0f} MiB", f"{size['after']:.0f} MiB")
    console.print(services)

    stages = Table(
        "stage", "median", "best", "worst", title=f"seconds after the end of speech, {len(figures['runs'])} turns"
    )
    for stage in (key for key in figures["runs"][0] if key != "transcript"):
        values = [run[stage] for run in figures["runs"] if run[stage] is not None]
        cells = (statistics.median(values), min(values), max(values)) if values else ()
        stages.add_row(stage.replace("_", " "), *(f"{value:.2f}" for value in cells))
    console.print(stages)

    summary = Table("figure", "measured", "goal", title=figures["machine"])
    for name, goal in figures["goals"].items():
        summary.add_row(name.replace("_", " "), f"{figures[name]:.2f}", f"at most {goal:g}")
    console.print(summary)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="questions to ask")
    parser.add_argument("--json", type=Path, default=Path("build/benchmarks/conversation.json"), help="file to write")
    options = parser.parse_args()
    figures = measure(max(options.runs, 1))
    show(figures)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"figures: {options.json}")


if __name__ == "__main__":
    main()
