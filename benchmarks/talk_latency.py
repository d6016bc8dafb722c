"""Section `latency`: from the end of the user's speech to the first sound of the reply."""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks.talk_mesh import Run, progress
from benchmarks.talk_sounds import Sound, questions
from benchmarks.talk_user import TalkUser
from oviya.durations import seconds

TURNS = 40
LEAD_S = 0.5
"""Silence before the user speaks, in seconds."""
REPLY_S = 12.0
"""Longest time to wait for the end of a reply, in seconds."""
STAGES = ("turn_end", "final_transcript", "first_sentence", "first_frame", "first_audio")


async def measure_latency(run: Run) -> None:
    """Asks questions in sessions of their own, and listens to the answers."""
    cases = run.cases["latency"] = []
    count = min(TURNS, run.options.count)
    try:
        for number, sound in enumerate(progress(questions(count), description="latency")):
            cases.append(await _ask(run, sound, number))
    finally:
        _add_latencies(run, cases)


async def _ask(run: Run, sound: Sound, number: int) -> dict[str, Any]:
    async with TalkUser(run.stub, seed=number) as user:
        await asyncio.sleep(LEAD_S)
        _, end_s = user.say(sound)
        ended = await user.wait_for(lambda arrival: arrival.kind == "reply_ended", end_s - user.now_s + REPLY_S)
        heard_s = user.loudspeaker.first_audible_s()
        case: dict[str, Any] = {"kind": sound.kind, "name": sound.name, "timeline": user.timeline(end_s)}
    case["first_audio_s"] = None if heard_s is None else heard_s - end_s
    case["early"] = heard_s is not None and heard_s < end_s
    if ended is not None:
        latency = ended.response.reply_ended.latency
        case["stages"] = {name: seconds(getattr(latency, name)) for name in STAGES if latency.HasField(name)}
    return case


def _add_latencies(run: Run, cases: list[dict[str, Any]]) -> None:
    times = [case["first_audio_s"] for case in cases if not case["early"]]
    run.add_percentiles("first audio", [float("inf") if time_s is None else time_s for time_s in times])
    run.figures["latency, answered before the end"] = sum(case["early"] for case in cases)
    for name in STAGES:
        values = [case["stages"][name] for case in cases if name in case.get("stages", {})]
        run.add_percentiles(f"latency, {name.replace('_', ' ')}", values)
