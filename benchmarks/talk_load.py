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
    """Opens eight sessions over gRPC and over WebRTC, measures them with a silent microphone, then while they speak."""
    pid = run.mesh.services[GATEWAY].pid
    assert pid is not None
    window_s = QUICK_WINDOW_S if run.options.quick else WINDOW_S
    await asyncio.sleep(SETTLE_S)
    empty = run.figures["empty gateway"] = await share_of_core(pid, window_s)
    users: dict[str, Callable[[], TalkUser | RtcUser]] = {
        "grpc": lambda: TalkUser(run.stub),
        "webrtc": lambda: RtcUser(run.mesh.plan.http_url),
    }
    for name, make in progress(users.items(), description="gateway CPU"):
        async with AsyncExitStack() as stack:
            sessions = [await stack.enter_async_context(make()) for _ in range(SESSIONS)]
            await asyncio.sleep(SETTLE_S)
            idle = await share_of_core(pid, window_s)
            run.figures[f"idle {name}"] = (idle - empty) / SESSIONS
            run.answer_with(STORIES[0])
            for session in sessions:
                await session.type(REQUEST)
            await asyncio.sleep(SETTLE_S)
            before = audio_s(sessions)
            speaking = await share_of_core(pid, window_s)
            run.figures[f"speaking {name}"] = (speaking - empty) / SESSIONS
            if name == "grpc":
                run.figures["speaking grpc, sound in real time"] = (audio_s(sessions) - before) / SESSIONS / window_s
        run.counts |= {f"idle {name}": SESSIONS, f"speaking {name}": SESSIONS}


def audio_s(users: list[TalkUser | RtcUser]) -> float:
    """Returns how much sound the users over gRPC have received, in seconds."""
    speakers = [user.loudspeaker for user in users if isinstance(user, TalkUser)]
    return sum(len(piece.samples) / one.rate_hz for one in speakers for piece in one.pieces)
