"""How well and how fast speech-to-text hears people: `python -m benchmarks.stt [--only SECTION ...] [--prompts N]`.

It starts the six services as `oviya up` does, with the settings of the environment, and calls the speech-to-text service
over gRPC.  `--alone` starts only that service, `--target HOST:PORT` calls one that runs.  The table shows each figure
beside two goals.  `human` means the recordings in Debian's package asterisk-core-sounds-en-g722, one voice.

| section | what is measured |
|---|---|
| accuracy | Word error rate of people and of flite's voices.  Sound is sent as fast as it is accepted; ways of writing ("1", "one") do not count as errors (tests/support/transcripts.py). |
| noise | The same for people in white noise and at 8 kHz. |
| latency | In real time, one speaker: from the last sound of speech to the final transcript, and from the first one to the first partial with words.  A word of a partial is taken back if a later transcript of the turn does not begin with it.  Whole sentences are also counted alone: a third of the prompts are fragments ("has left the conference"), after which the turn waits for more. |
| turns | Held-out sentences, spoken with a pause of 700 ms at a clause and without: how often the pause ends the turn, and the sound between the last sound of speech and the end of the turn.  benchmarks/stt_turns.py has more. |
| invented | Words in ten minutes of sound in which nobody speaks. |
| speakers | In real time: the largest number of speakers for whom 95 % of the finals arrive within a second.  Each says one prompt after another, in sessions of their own. |
| memory | Proportional set size of the service with its children at the end. |
"""  # noqa: E501

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import grpc
from grpc import aio
from rich.console import Console
from rich.progress import track

if not __package__:  # started as `python benchmarks/stt.py`
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.report import MACHINE, parser_for, print_table, summary, write_json
from benchmarks.stt_client import Heard, model_of, play
from benchmarks.stt_goals import GOALS, Goal
from benchmarks.stt_pauses import is_whole, utterances
from benchmarks.stt_sounds import LEAD_S, RATE_HZ, Utterance, flite, human, in_white_noise, over_telephone, spoken
from oviya.cli.local.plan import plan_on_free_ports
from oviya.cli.local.process import proportional_bytes
from oviya.cli.local.supervisor import LocalMesh
from oviya.mesh.channel import open_channel
from services.stt.decode.whisper import WhisperRecognizer
from services.stt.settings import SttSettings
from tests.support.service_process import ServiceProcess
from tests.support.sounds import SOUNDS
from tests.support.speech import word_error_rate
from tests.support.transcripts import normalized

SERVICE = "oviya.v1.SttService"
READY_TIMEOUT_S = 180.0
MIB = 1 << 20
PAUSE_S = 0.7
VOICES = ("slt", "rms", "awb")
MINUTES = 10
NOISES = {
    "silence": ("silence",),
    "noise": ("white noise", "pink noise", "brown noise", "street"),
    "music": ("music",),
    "clicks": ("keyboard",),
}
"""Which of `SOUNDS` each minute consists of, in turn."""
MAX_SPEAKERS, PROMPTS_PER_SPEAKER, FINAL_WITHIN_S = 6, 12, 1.0
SPEAKER_PROMPT_S = (2.0, 8.0)
"""Shortest and longest prompt that speakers at once say."""
progress = partial(track, console=Console(stderr=True))


@dataclass
class Run:
    """The service that is measured, and what was found.

    Attributes:
        channel: channel to it.
        memory: returns its memory in bytes; None: it runs elsewhere.
        prompts: how many prompts and sentences of each kind to play; None: all.
        figures: what was measured, by name of the goal.
        wrong: words that were said and words that were heard, where they differ, by name of the goal.
    """

    channel: aio.Channel
    memory: Callable[[], int] | None
    prompts: int | None
    figures: dict[str, float] = field(default_factory=dict)
    wrong: dict[str, list[tuple[str, str]]] = field(default_factory=dict)


@contextmanager
def started(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[], int] | None]]:
    """Starts what the options ask for; yields the service's address and a function that measures its memory."""
    if options.target:
        yield options.target, None
    elif options.alone:
        with ServiceProcess("services.stt") as service:
            service.start(READY_TIMEOUT_S)
            yield service.address, lambda: proportional_bytes(service.pid)
            service.stop()
    else:
        with tempfile.TemporaryDirectory() as folder, LocalMesh(plan_on_free_ports(), Path(folder)) as mesh:
            mesh.start()
            mesh.wait_ready(READY_TIMEOUT_S)
            yield mesh.plan.address("stt"), mesh.services["stt"].measure_memory


async def word_errors(run: Run, name: str, utterances: Sequence[Utterance]) -> None:
    """Measures the word error rate."""
    texts = [utterance.text for utterance in utterances]
    heard = [
        (await play(run.channel, utterance.sound, utterance.rate_hz, paced=False)).text
        for utterance in progress(utterances, description=GOALS[name].title)
    ]
    run.figures[name] = word_error_rate(heard, texts)
    pairs = zip(map(normalized, texts), map(normalized, heard), strict=True)
    run.wrong[name] = [(said, text) for said, text in pairs if said != text]


async def accuracy(run: Run) -> None:
    await word_errors(run, "human", human(run.prompts))
    for voice in VOICES:
        await word_errors(run, f"flite {voice}", flite(voice, run.prompts))


async def noise(run: Run) -> None:
    utterances = human(run.prompts)
    for snr_db in (20, 10):
        noisy = [in_white_noise(utterance, snr_db, seed) for seed, utterance in enumerate(utterances)]
        await word_errors(run, f"human {snr_db} dB", noisy)
    await word_errors(run, "human telephone", [over_telephone(utterance) for utterance in utterances])


async def latency(run: Run) -> None:
    finals: list[float] = []
    whole: list[float] = []
    partials, taken_back = [], 0
    for utterance in progress(human(run.prompts), description="latency"):
        heard = await play(run.channel, utterance.sound, paced=True)
        finals.append(final_after_s(heard, utterance))
        if is_whole(utterance.text):
            whole.append(finals[-1])
        taken_back += heard.words_taken_back()
        if (first_s := heard.first_words_at_s) is not None:
            partials.append(first_s - utterance.start_s)
    run.figures |= {
        "final p50": summary(finals)["p50"],
        "final p95": summary(finals)["p95"],
        "whole final p50": summary(whole)["p50"],
        "whole final p95": summary(whole)["p95"],
        "first partial": statistics.median(partials),
        "taken back": taken_back,
    }


def final_after_s(heard: Heard, utterance: Utterance) -> float:
    """Returns the time from the end of speech to the last final; infinite if nothing was heard."""
    return float("inf") if heard.final_at_s is None else heard.final_at_s - utterance.end_s


async def turns(run: Run) -> None:
    recognizer = WhisperRecognizer(SttSettings())
    recognizer.load()  # it finds where recordings are cut
    for name, held_out in (("human", "human held-out"), ("flite", "held-out")):
        cut_off: list[bool] = []
        ends_s: list[float] = []
        for one in progress(list(utterances(held_out, recognizer))[: run.prompts], description=f"turns, {name}"):
            if one.cut is not None:
                pause_s = LEAD_S + one.cut[0] / RATE_HZ
                heard = await play(run.channel, spoken(one.text, one.with_pause(PAUSE_S)).sound, paced=False)
                cut_off.append(any(pause_s < end_s < pause_s + PAUSE_S for end_s in heard.turn_ends_s))
            if one.whole:
                whole = spoken(one.text, one.sound)
                heard = await play(run.channel, whole.sound, paced=False)
                ends_s += [end_s - whole.end_s for end_s in heard.turn_ends_s[-1:]]
        run.figures[f"cut off {name}"] = statistics.mean(cut_off)
        run.figures[f"end of turn {name}"] = statistics.median(ends_s)


async def invented(run: Run) -> None:
    for name, kinds in NOISES.items():
        words: list[str] = []
        for index in progress(range(MINUTES), description=f"{MINUTES} minutes of {name}"):
            minute = SOUNDS[kinds[index % len(kinds)]](60.0, index)
            heard = await play(run.channel, minute, paced=False)
            words += normalized(heard.text).split()
        run.figures[f"invented {name}"] = len(words)
        run.wrong[f"invented {name}"] = [("", word) for word in words]


async def speakers(run: Run) -> None:
    """Raises the number of speakers until their finals are late."""
    shortest, longest = SPEAKER_PROMPT_S
    utterances = [one for one in human() if shortest <= one.end_s - one.start_s <= longest]
    run.figures["speakers"] = 0
    for count in progress(range(1, MAX_SPEAKERS + 1), description="speakers at once"):
        said = [utterances[index::MAX_SPEAKERS][:PROMPTS_PER_SPEAKER] for index in range(count)]
        finals = await asyncio.gather(*(talk(run.channel, texts, index / count) for index, texts in enumerate(said)))
        p95_s = summary([after_s for speaker in finals for after_s in speaker])["p95"]
        run.figures[f"p95 of {count} speakers"] = p95_s
        if p95_s > FINAL_WITHIN_S:
            return
        run.figures["speakers"] = count


async def talk(channel: aio.Channel, utterances: Sequence[Utterance], wait_s: float) -> list[float]:
    """Says one utterance after another; returns the times to their finals, infinite where a call fails."""
    await asyncio.sleep(wait_s)
    finals = []
    for utterance in utterances:
        try:
            finals.append(final_after_s(await play(channel, utterance.sound, paced=True), utterance))
        except grpc.RpcError:
            finals.append(float("inf"))
    return finals


async def memory(run: Run) -> None:
    if run.memory is not None:
        run.figures["memory"] = run.memory()


SECTIONS: dict[str, Callable[[Run], Coroutine[Any, Any, None]]] = {
    "accuracy": accuracy,
    "noise": noise,
    "latency": latency,
    "turns": turns,
    "invented": invented,
    "speakers": speakers,
    "memory": memory,
}


async def measure(address: str, run_memory: Callable[[], int] | None, options: argparse.Namespace) -> dict[str, Any]:
    """Runs the sections against the service at `address`; returns all figures."""
    async with open_channel(address, SERVICE) as channel:
        run = Run(channel, run_memory, options.prompts)
        model = await model_of(channel)
        for section in options.only:
            await SECTIONS[section](run)
    return {"machine": MACHINE, "model": model, "figures": run.figures, "wrong": run.wrong}


def main() -> None:
    arguments = parser_for("stt", __doc__)
    arguments.add_argument("--only", nargs="+", choices=list(SECTIONS), default=list(SECTIONS), metavar="SECTION")
    arguments.add_argument("--prompts", type=int, help="how many prompts and sentences of each kind; all by default")
    where = arguments.add_mutually_exclusive_group()
    where.add_argument("--alone", action="store_true", help="start only this service, not the whole mesh")
    where.add_argument("--target", metavar="HOST:PORT", help="call a service that runs")
    options = arguments.parse_args()
    with started(options) as (address, run_memory):
        measured = asyncio.run(measure(address, run_memory, options))
    title = f"{measured['model']} on {MACHINE}, load {os.getloadavg()[0]:.1f}"
    rows = [goal.row(measured["figures"].get(name)) for name, goal in GOALS.items() if goal.section in options.only]
    print_table(title, Goal.COLUMNS, rows)
    write_json(options.json, measured)


if __name__ == "__main__":
    main()
