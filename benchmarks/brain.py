"""Latency of the brain with a language model: from the last token of a sentence to its arrival.

    python -m benchmarks.brain [--rate 50] [--runs 20] [--json FILE]

streams replies from a local server of Ollama's HTTP API (tests/support/ollama_server.py) at the pace of a model,
through the real `ollama` package and the brain service over gRPC.  `after its last token` is the time from the moment
at which the server sent the last token of a sentence to the sentence's arrival at the caller.  A sentence that ends
unambiguously is sent at once; one that may continue (a number, an abbreviation, a quotation) waits for the next token,
20 ms at the default rate.  `the listener` is the same service without a model.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

if not __package__:  # started as `python benchmarks/brain.py`
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.report import MACHINE, median_s, parser_for, print_table, quiet_logs, summary, write_json
from oviya.text.speakable import speakable
from oviya.v1 import brain_pb2, brain_pb2_grpc
from services.brain.server import BrainService
from services.brain.settings import BrainSettings
from tests.support.ollama_server import Answer, OllamaServer
from tests.support.serving import serve_for_test

GOAL_S = 0.030
REPLIES: dict[str, list[str]] = {
    "plain": ["[empathetic_sad] I am so sorry to hear that.", " [curious] How long has it been like this?"],
    "clause": ["[tender] It must be hard to come home to an empty place,", " and to have nobody to talk to."],
    "no emotion": ["That sounds like a lot to carry.", " Tell me more about it."],
    "number": ["[thoughtful] You slept for 4.5 hours, until 9.", " [curious] Why is that?"],
    "quotation": ['[amused] He just said "Leave me alone."', " [curious] What did you say?"],
}
DIFFICULT = (
    "On 2026-11-24 at 9:05 it cost $5.50 for 3.5 kg, see https://example.com/docs or **ask** Dr. Smith \U0001f389."
)
"""A sentence of 100 characters, to convert to spoken words."""
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
    return {
        "machine": MACHINE,
        "tokens_a_second": rate,
        "runs": runs,
        "goal_s": GOAL_S,
        "first_sentence_s": {kind: summary(values) for kind, values in firsts.items()},
        "first_sentence_all_s": summary([value for values in firsts.values() for value in values]),
        "further_sentences_s": summary(others),
        "listener_first_sentence_s": summary(listener[3:]),
        "speakable_s_a_sentence": median_s(lambda: speakable(DIFFICULT), 200),
    }


def show(figures: dict[str, Any]) -> None:
    """Prints the figures."""
    timed = {f"first sentence after its last token: {kind}": row for kind, row in figures["first_sentence_s"].items()}
    timed["first sentence after its last token: all"] = figures["first_sentence_all_s"]
    timed["further sentences after their last token"] = figures["further_sentences_s"]
    timed["the listener: request to first sentence"] = figures["listener_first_sentence_s"]
    rows = [
        (
            name,
            *(f"{1000 * value:.1f}" for value in row.values()),
            f"{GOAL_S * 1000:.0f}" if name.startswith("first") else "",
        )
        for name, row in timed.items()
    ]
    rows.append(("saying one sentence in words", f"{1000 * figures['speakable_s_a_sentence']:.2f}"))
    title = f"{figures['tokens_a_second']:g} tokens a second, {figures['runs']} replies each; {figures['machine']}"
    print_table(title, ("milliseconds", "p50", "p95", "worst", "goal"), rows)


def main() -> None:
    parser = parser_for("brain", __doc__)
    parser.add_argument("--rate", type=float, default=50.0, help="tokens a second")
    parser.add_argument("--runs", type=int, default=20, help="replies of each kind")
    options = parser.parse_args()
    quiet_logs()
    figures = asyncio.run(measure(options.rate, max(options.runs, 1)))
    show(figures)
    write_json(options.json, figures)


if __name__ == "__main__":
    main()
