"""Section `cpu`: what a session costs the gateway's process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import psutil

from benchmarks.talk_mesh import Run, progress
from benchmarks.talk_rtc import RtcUser
from benchmarks.talk_sounds import STORIES
from benchmarks.talk_user import TalkUser
from oviya.cli.local.plan import GATEWAY

SESSIONS = 8
WINDOW_S, QUICK_WINDOW_S = 20.0, 6.0
REAL_TIME = 0.9
"""Share of real time that counts as speaking; with less, fewer sessions speak at once."""
SETTLE_S = 4.0
"""Time in seconds from a start until its work is steady, e.g. until the lead has been sent."""
REQUEST = "Please tell me something interesting."


def cpu_s(pid: int) -> float:
    """Returns the CPU time that a process and its children have used, in seconds."""
    process = psutil.Process(pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in times)


async def share_of_core(pid: int, window_s: float) -> float:
    """Returns the mean CPU use of a process over `window_s`, 1.0 for one core."""
    loop = asyncio.get_running_loop()
    began_s, used_s = loop.time(), cpu_s(pid)
    await asyncio.sleep(window_s)
    return (cpu_s(pid) - used_s) / (loop.time() - began_s)


async def measure_cpu(run: Run) -> None:
    """Measures eight sessions with a silent microphone, then as many of them as the voice can speak for at once."""
    pid = run.mesh.services[GATEWAY].pid
    assert pid is not None
    window_s = QUICK_WINDOW_S if run.options.quick else WINDOW_S
    await asyncio.sleep(SETTLE_S)
    empty = run.figures["empty gateway"] = await share_of_core(pid, window_s)
    users: dict[str, Callable[[], TalkUser | RtcUser]] = {
        "grpc": lambda: TalkUser(run.stub),
        "webrtc": lambda: RtcUser(run.mesh.plan.http_url),
    }
    speakers = SESSIONS
    for name, make in progress(users.items(), description="gateway CPU"):
        async with AsyncExitStack() as stack:
            for _ in range(SESSIONS):
                await stack.enter_async_context(make())
            await asyncio.sleep(SETTLE_S)
            run.figures[f"idle {name}"] = (await share_of_core(pid, window_s) - empty) / SESSIONS
            run.counts[f"idle {name}"] = SESSIONS
        while True:
            speaking, real_time = await _speaking(run, make, speakers, pid, window_s)
            if name != "grpc" or real_time >= REAL_TIME or speakers == 1:
                break
            speakers //= 2
        run.figures[f"speaking {name}"], run.counts[f"speaking {name}"] = (speaking - empty) / speakers, speakers
        if name == "grpc":
            run.figures["speaking grpc, sound in real time"] = real_time


async def _speaking(
    run: Run, make: Callable[[], TalkUser | RtcUser], count: int, pid: int, window_s: float
) -> tuple[float, float]:
    """Returns the CPU use while `count` sessions speak, and the sound that came, relative to real time."""
    async with AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(make()) for _ in range(count)]
        run.answer_with(STORIES[0])
        for session in sessions:
            await session.type(REQUEST)
        await asyncio.sleep(SETTLE_S)
        before_s = audio_s(sessions)
        share = await share_of_core(pid, window_s)
        return share, (audio_s(sessions) - before_s) / count / window_s


def audio_s(users: list[TalkUser | RtcUser]) -> float:
    """Returns how much sound the users over gRPC have received, in seconds."""
    speakers = [user.loudspeaker for user in users if isinstance(user, TalkUser)]
    return sum(len(piece.samples) / one.rate_hz for one in speakers for piece in one.pieces)
