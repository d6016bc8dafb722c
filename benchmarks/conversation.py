"""The whole mesh on this machine: start-up time, memory and response time.

    python -m benchmarks.conversation [--runs 5] [--json FILE]

starts the six services on free ports, as `oviya up` does, and plays a question, spoken by flite, several times in real
time through Converse.  It prints three tables and writes all figures as JSON.  `first audio here` is the time at the
caller from sending the last speech to receiving the first reply audio.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

if not __package__:  # started as `python benchmarks/conversation.py`
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.report import MACHINE, parser_for, print_table, write_json
from oviya.cli.conversation_record import TurnRecord
from oviya.cli.local.plan import GATEWAY, plan_on_free_ports
from oviya.cli.local.supervisor import LocalMesh
from oviya.cli.player import play_recording
from oviya.client import Oviya
from tests.support.speech import SAD, speak

RATE_HZ = 16_000
READY_TIMEOUT_S = 180.0
GOALS = {"ready_s": 20.0, "pss_mib": 1126.0, "first_audio_here_s": 1.5}
MIB = 1 << 20


async def ask(address: str) -> TurnRecord:
    """Plays the question once, in a new session; returns the turn."""
    async with Oviya(address) as oviya, oviya.converse(input_rate_hz=RATE_HZ) as conversation:
        record = await play_recording(conversation, speak(SAD, RATE_HZ), RATE_HZ)
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
        mesh = LocalMesh(plan_on_free_ports(), Path(folder))
        with mesh:
            started_at = time.monotonic()
            mesh.start()
            mesh.wait_ready(READY_TIMEOUT_S)
            ready_s = time.monotonic() - started_at
            at_start = memory_mib(mesh)
            turns = [asyncio.run(ask(mesh.plan.address(GATEWAY))) for _ in range(runs)]
            afterwards = memory_mib(mesh)
            ready_after = {name: service.ready_after_s for name, service in mesh.services.items()}
    return {
        "machine": MACHINE,
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
    services = [
        (name, f"{figures['service_ready_s'][name]:.1f} s", f"{size['ready']:.0f} MiB", f"{size['after']:.0f} MiB")
        for name, size in figures["service_pss_mib"].items()
    ]
    print_table("services", ("service", "ready after", "PSS ready", "PSS after"), services)

    stages = []
    for stage in (key for key in figures["runs"][0] if key != "transcript"):
        values = [run[stage] for run in figures["runs"] if run[stage] is not None]
        cells = (statistics.median(values), min(values), max(values)) if values else ()
        stages.append((stage.replace("_", " "), *(f"{value:.2f}" for value in cells)))
    title = f"seconds after the end of speech, {len(figures['runs'])} turns"
    print_table(title, ("stage", "median", "best", "worst"), stages)

    goals = [(key.replace("_", " "), f"{figures[key]:.2f}", f"at most {goal:g}") for key, goal in GOALS.items()]
    print_table(figures["machine"], ("figure", "measured", "goal"), goals)


def main() -> None:
    parser = parser_for("conversation", __doc__)
    parser.add_argument("--runs", type=int, default=5, help="questions to ask")
    options = parser.parse_args()
    figures = measure(max(options.runs, 1))
    show(figures)
    write_json(options.json, figures)


if __name__ == "__main__":
    main()
