"""Latency of the brain with a language model: from the last token of a sentence to its arrival.

    python benchmarks/brain.py [--rate 50] [--runs 20] [--json FILE]

streams replies from a local server of Ollama's HTTP API (tests/support/ollama_server.py) at the pace of a model,
through the real `ollama` package and the brain service over gRPC.  `after its last token` is the time from the moment
at which the server sent the last token of a sentence to the sentence's arrival at the caller.  A sentence that ends
unambiguously is sent at once; one that may continue (a number, an abbreviation, a quotation) waits for the next token,
20 ms at the default rate.  `the listener` is the same service without a model.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import math
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import structlog
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # for the tests' server, and services/ where the project is not installed

from oviya.text.speakable import speakable  # noqa: E402
from oviya.v1 import brain_pb2, brain_pb2_grpc  # noqa: E402
from services.brain.server import BrainService  # noqa: E402
from services.brain.settings import BrainSettings  # noqa: E402
from tests.support.ollama_server import Answer, OllamaServer  # noqa: E402
from tests.support.serving import serve_for_test  # noqa: E402

GOAL_S = 0.030
REPLIES: dict[str, list[str]] = {
    "plain": ["[empathetic_sad] I am so sorry to hear that.", " [curious] How long has it been like this?"],
    "clause": ["[tender] It must be hard to come home to an empty place,", " and to have nobody to talk to."],
    "no emotion": ["That sounds like a lot to carry.", " Tell me more about it."],
    "number": ["[thoughtful] You slept for 4.5 hours, until 9.", " [curious] Why is that?"],
    "quotation": ['[amused] He just said "Leave me alone."', " [curious] What did you say?"],
}
QUESTION = "i feel sad and lonely today"


async def reply_times(stub: Any, server: OllamaServer, sentences: list[str], rate: float) -> list[float]:
    """Streams one reply; returns the seconds from each sentence's last token to its arrival."""
    answer = Answer("".join(sentences), tokens_a_second=rate)
    server.answers = [answer]
    clock = asyncio.get_running_loop().time
    call = stub.Reply(brain_pb2.ReplyRequest(text=QUESTION, user_emotion="lonely"), timeout=60)
    arrived = [clock() async for _ in call]
    if len(arrived) != len(sentences):
        raise SystemExit(f"expected {len(sentences)} sentences, got {len(arrived)}")
    ends = [len("".join(sentences[: index + 1]).split(" ")) - 1 for index in range(len(sentences))]
    return [at - answer.sent_at[end] for at, end in zip(arrived, ends, strict=True)]


async def measure(rate: float, runs: int) -> dict[str, Any]:
    """Measures every kind of reply, alternately."""
    server = OllamaServer()
    server.say("")
    firsts: dict[str, list[float]] = {kind: [] for kind in REPLIES}
    others: list[float] = []
    async with server.serving():
        settings = BrainSettings(backend="ollama", ollama_url=server.url)
        async with serve_for_test(BrainService(settings)) as served:
            stub = brain_pb2_grpc.BrainServiceStub(served.channel)
            for _ in range(3):
                await reply_times(stub, server, REPLIES["plain"], rate)  # the first calls open connections
            for _ in range(runs):
                for kind, sentences in REPLIES.items():
                    first, *rest = await reply_times(stub, server, sentences, rate)
                    firsts[kind].append(first)
                    others += rest
    async with serve_for_test(BrainService(BrainSettings())) as served:
        stub = brain_pb2_grpc.BrainServiceStub(served.channel)
        listener: list[float] = []
        for number in range(runs + 3):
            started = time.perf_counter()
            call = stub.Reply(brain_pb2.ReplyRequest(text=QUESTION, session_id=str(number)), timeout=60)
            await call.read()
            listener.append(time.perf_counter() - started)
            call.cancel()
    whole = [value for values in firsts.values() for value in values]
    return {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "tokens_a_second": rate,
        "runs": runs,
        "goal_s": GOAL_S,
        "first_sentence_s": {kind: summary(values) for kind, values in firsts.items()},
        "first_sentence_all_s": summary(whole),
        "further_sentences_s": summary(others),
        "listener_first_sentence_s": summary(listener[3:]),
        "speakable_s_a_sentence": speakable_s(),
    }


def speakable_s() -> float:
    """Seconds to convert one sentence of 100 characters to spoken words, the median of 200."""
    text = (
        "On 2026-11-24 at 9:05 it cost $5.50 for 3.5 kg, see https://example.com/docs or **ask** Dr. Smith \U0001f389."
    )
    times = []
    for _ in range(200):
        started = time.perf_counter()
        speakable(text)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def summary(values: list[float]) -> dict[str, float]:
    """Median, 95th percentile and worst, in seconds."""
    ordered = sorted(values)
    return {
        "p50": statistics.median(ordered),
        "p95": ordered[math.ceil(0.95 * len(ordered)) - 1],
        "max": ordered[-1],
    }


def show(figures: dict[str, Any]) -> None:
    """Prints the figures."""
    table = Table(
        "milliseconds",
        *(("p50", "p95", "worst", "goal")),
        title=f"{figures['tokens_a_second']:g} tokens a second, {figures['runs']} replies each; {figures['machine']}",
    )
    rows = {f"first sentence after its last token: {kind}": row for kind, row in figures["first_sentence_s"].items()}
    rows["first sentence after its last token: all"] = figures["first_sentence_all_s"]
    rows["further sentences after their last token"] = figures["further_sentences_s"]
    for name, row in rows.items():
        goal = f"{GOAL_S * 1000:.0f}" if name.startswith("first") else ""
        table.add_row(name, *(f"{1000 * row[key]:.1f}" for key in ("p50", "p95", "max")), goal)
    row = figures["listener_first_sentence_s"]
    table.add_row("the listener: request to first sentence", *(f"{1000 * row[key]:.1f}" for key in row), "")
    table.add_row("saying one sentence in words", f"{1000 * figures['speakable_s_a_sentence']:.2f}", "", "", "")
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=50.0, help="tokens a second")
    parser.add_argument("--runs", type=int, default=20, help="replies of each kind")
    parser.add_argument("--json", type=Path, default=Path("build/benchmarks/brain.json"), help="file to write")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    figures = asyncio.run(measure(options.rate, max(options.runs, 1)))
    show(figures)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"figures: {options.json}")


if __name__ == "__main__":
    main()
