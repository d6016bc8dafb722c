"""Sections `interruptions` and `false-stops`: sounds over a reply, and what came of them."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.talk_mesh import Run, progress
from benchmarks.talk_outcome import Outcome
from benchmarks.talk_sounds import STORIES, Sound, interruptions, no_interruptions, room_response, sentences_of, spread
from benchmarks.talk_user import Echo, EchoCancellation, TalkUser
from oviya.v1 import conversation_pb2

REQUEST = "Please tell me something interesting."
OVERLAP_AFTER_S = (0.5, 6.0)
"""Earliest and latest point of a reply at which somebody makes a sound, in seconds."""
THINKING_S = 2.0
"""How long the model thinks where it is interrupted while it thinks."""
ONE_IN_THINKS = 10
ANSWER_S, SETTLE_S = 8.0, 3.0
"""Longest wait for an answer after the words, and for a decision after another sound."""
LATE_S = 0.5
FIRST_TURN = 0
ECHOES, UNCANCELLED_ECHOES = 30, 10
ECHO_DB, ECHO_DELAY_S = (-20.0, -6.0), (0.04, 0.3)
ECHOED_SENTENCES = 4
LONGEST_REPLY_S = 40.0
LONGEST_REPEAT_S = 1.0
GATEWAY, CALLER = conversation_pb2.ECHO_CANCELLATION_GATEWAY, conversation_pb2.ECHO_CANCELLATION_CALLER


class NoReply(Exception):
    """The mesh gave no reply to talk over."""


async def start_reply(run: Run, user: TalkUser, story: str, thinking: bool = False) -> int:
    """Types the first turn of a session; returns its number once its reply can be heard or, if `thinking`, at once."""
    run.answer_with(story, THINKING_S if thinking else 0.0)
    await user.type(REQUEST)
    if not thinking and await user.wait_for(lambda arrival: arrival.kind == "audio") is None:
        raise NoReply(f"no sound; got {[arrival.kind for arrival in user.arrivals]}")
    return FIRST_TURN


def case_of(sound: Sound, outcome: Outcome, after_s: float, **more: Any) -> dict[str, Any]:
    """Returns what happened, for the JSON file."""
    values = asdict(outcome) | {"turns": sorted(outcome.turns), "answered": sorted(outcome.answered)}
    return {"kind": sound.kind, "name": sound.name, "after_s": after_s, **more, **values}


async def measure_interruptions(run: Run) -> None:
    """Says words over replies, one in ten while the model thinks; then over replies that are heard as an echo."""
    sounds = interruptions()
    cases = run.cases["interruptions"] = []
    over_echo = run.cases["interruptions over an echo"] = []
    try:
        for number, sound in enumerate(progress(spread(sounds, run.options.count), description="interruptions")):
            cases.append(await _interrupt(run, sound, number, thinking=number % ONE_IN_THINKS == ONE_IN_THINKS - 1))
        few = spread(sounds, run.options.count // 5)
        for number, sound in enumerate(progress(few, description="interruptions over an echo")):
            over_echo.append(await _interrupt(run, sound, number, echo=echo_of(number)))
    finally:
        _add_interruptions(run, cases, over_echo)


def _add_interruptions(run: Run, cases: list[dict[str, Any]], over_echo: list[dict[str, Any]]) -> None:
    run.add_share("obeyed", [case["ok"] for case in cases])
    run.add_share("obeyed over echo", [case["ok"] for case in over_echo])
    for name, some in (("silence", cases), ("silence over an echo", over_echo)):
        run.add_percentiles(name, [case["silence_s"] for case in some if case["silence_s"] is not None])
    for name in ("late pieces", "paused pieces"):
        run.figures[name] = sum(case[name.replace(" ", "_")] for case in cases + over_echo)
        run.counts[name] = len(cases) + len(over_echo)


async def _interrupt(
    run: Run, sound: Sound, number: int, *, thinking: bool = False, echo: Echo | None = None
) -> dict[str, Any]:
    random = np.random.default_rng((1, number))
    after_s = float(random.uniform(0.1, THINKING_S / 2) if thinking else random.uniform(*OVERLAP_AFTER_S))
    async with TalkUser(run.stub, echo=echo, seed=number) as user:
        reply = await start_reply(run, user, STORIES[number % len(STORIES)], thinking)
        await asyncio.sleep(after_s)
        onset_s, end_s = user.say(sound)
        since_s = user.now_s
        await user.wait_for(lambda _: user.outcome(reply, since_s).obeyed, end_s - since_s + ANSWER_S)
        await asyncio.sleep(LATE_S)
        outcome = user.outcome(reply, since_s)
        last_s = user.loudspeaker.last_audible_s(reply)
        silence_s = None
        if not thinking and outcome.interrupted_s is not None and last_s is not None:
            silence_s = max(0.0, last_s - onset_s)
        timeline = user.timeline(onset_s)
    more = {"ok": outcome.obeyed, "thinking": thinking, "silence_s": silence_s, "timeline": timeline}
    return case_of(sound, outcome, after_s, **more)


def echo_of(number: int) -> Echo:
    """Returns one of many ways from a loudspeaker to a microphone."""
    random = np.random.default_rng((3, number))
    return Echo(float(random.uniform(*ECHO_DELAY_S)), float(random.uniform(*ECHO_DB)), room_response(number))


async def measure_false_stops(run: Run) -> None:
    """Makes sounds over replies that are no interruptions, and lets replies come back as echoes."""
    sounds, count = spread(no_interruptions(), run.options.count * 7 // 10), run.options.count
    cases = run.cases["false-stops"] = []
    uncancelled = run.cases["uncancelled"] = []
    try:
        for number, sound in enumerate(progress(sounds, description="sounds that are no interruptions")):
            cases.append(await _over_reply(run, sound, number))
        for number in progress(range(min(ECHOES, count * 3 // 10)), description="echoes"):
            cases.append(await _echoed(run, number, GATEWAY))  # noqa: PERF401 - keeps what was measured
        for number in progress(range(min(UNCANCELLED_ECHOES, count // 10)), description="echoes, not cancelled"):
            uncancelled.append(await _echoed(run, number, CALLER))  # noqa: PERF401 - keeps what was measured
    finally:
        _add_false_stops(run, cases, uncancelled)


def _add_false_stops(run: Run, cases: list[dict[str, Any]], uncancelled: list[dict[str, Any]]) -> None:
    run.add_share("false stops", [not case["ok"] for case in cases])
    groups = {"backchannel": ("backchannel", "laughter"), "echo": ("echo",)}
    known = [kind for kinds in groups.values() for kind in kinds]
    groups["noise"] = tuple({case["kind"] for case in cases}.difference(known))
    for group, kinds in groups.items():
        run.add_share(f"false stops {group}", [not case["ok"] for case in cases if case["kind"] in kinds])
    run.add_share("sounds that pause a reply", [bool(case["paused"]) for case in cases if case["kind"] != "echo"])
    run.add_share("echoes that pause a reply", [bool(case["paused"]) for case in cases if case["kind"] == "echo"])
    run.add_percentiles("resumed", [case["resumed_after_s"] for case in cases if case["resumed_after_s"] is not None])
    repeats = [repeat_s for case in cases for repeat_s in case["repeats_s"]]
    run.figures["misplaced"] = sum(not -0.001 <= repeat_s < LONGEST_REPEAT_S for repeat_s in repeats)
    run.counts["misplaced"] = len(repeats)
    run.add_share("false stops uncancelled", [not case["ok"] for case in uncancelled])
    for name, echoes in (("own words", [case for case in cases if case["kind"] == "echo"]),
                         ("own words uncancelled", uncancelled)):  # fmt: skip
        run.figures[name], run.counts[name] = sum(len(case["turns"]) for case in echoes), len(echoes)


async def _over_reply(run: Run, sound: Sound, number: int) -> dict[str, Any]:
    after_s = float(np.random.default_rng((2, number)).uniform(*OVERLAP_AFTER_S))
    async with TalkUser(run.stub, seed=number) as user:
        reply = await start_reply(run, user, STORIES[number % len(STORIES)])
        await asyncio.sleep(after_s)
        onset_s, end_s = user.say(sound)
        since_s = user.now_s
        await asyncio.sleep(end_s - since_s + SETTLE_S)
        outcome = user.outcome(reply, since_s)
        resumed_after_s = None
        if outcome.resumed:
            audible_s = user.loudspeaker.first_audible_s(reply, outcome.resumed[-1][0])
            resumed_after_s = None if audible_s is None else audible_s - end_s
        timeline = user.timeline(onset_s)
    return case_of(
        sound, outcome, after_s, ok=not outcome.false_stop, resumed_after_s=resumed_after_s,
        repeats_s=outcome.repeats_s, timeline=timeline,
    )  # fmt: skip


async def _echoed(run: Run, number: int, cancellation: EchoCancellation) -> dict[str, Any]:
    """Lets a whole reply come back through the microphone, while nobody speaks."""
    echo = echo_of(number)
    sound = Sound("echo", f"{echo.level_db:.0f} dB, {1000 * echo.delay_s:.0f} ms", np.zeros(0, np.float32))
    story = sentences_of(STORIES[number % len(STORIES)], number, ECHOED_SENTENCES)
    async with TalkUser(run.stub, echo=echo, cancellation=cancellation, seed=number) as user:
        reply = await start_reply(run, user, story)
        since_s = user.arrivals[0].at_s
        await user.wait_for(
            lambda arrival: arrival.turn == reply and arrival.kind in ("reply_ended", "interrupted"), LONGEST_REPLY_S
        )
        await asyncio.sleep(SETTLE_S)
        outcome = user.outcome(reply, since_s)
        timeline = user.timeline(since_s)
    return case_of(
        sound, outcome, 0.0, ok=not outcome.false_stop, resumed_after_s=None, repeats_s=outcome.repeats_s,
        timeline=timeline,
    )  # fmt: skip
