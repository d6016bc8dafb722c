"""Sessions of browsers in a real gateway: their limits, and the end of the gateway."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from oviya.errors import NotReady
from oviya.mesh.deadline import Deadline
from services.gateway.transport.webrtc.ice import LOOPBACK
from services.gateway.transport.webrtc.playout_queue import RATE_HZ
from tests.support.gateway_mesh import gateway_with
from tests.support.scripted_services import ScriptedBrain
from tests.support.waiting import PATIENCE_S, until
from tests.support.webrtc_client import browser


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"session_idle_s": 0.3}, "nothing was said or typed for 0.3 s"),
        ({"session_max_s": 0.3}, "the session reached its longest length of 0.3 s"),
    ],
)
async def test_sessions_end_at_their_limits_and_say_so(settings, message):
    async with gateway_with(ice_bind_addresses=[LOOPBACK], **settings) as gateway, browser(microphone=False) as user:
        peers = gateway.service.peers
        await user.connect(await peers.answer(await user.offer()))
        failed = (await user.event("turnFailed"))["turnFailed"]
        assert failed["type"] == "Timeout"
        assert message in failed["message"]
        async with asyncio.timeout(PATIENCE_S):
            await user.closed.wait()
        await until(lambda: len(peers) == 0)
        assert user.events.empty()  # so that the page shows this as the reason


async def test_session_at_its_longest_length_finishes_the_running_turn():
    brain, go = ScriptedBrain(), asyncio.Event()
    brain.before = lambda index: go.wait()
    async with (
        gateway_with(brain, ice_bind_addresses=[LOOPBACK], session_max_s=2.0) as gateway,
        browser(microphone=False) as user,
    ):
        peers = gateway.service.peers
        await user.connect(await peers.answer(await user.offer()))
        user.send({"text": "hello"})
        await asyncio.sleep(2.5)
        go.set()
        await user.event("replyEnded")
        failed = (await user.event("turnFailed"))["turnFailed"]
        assert failed["type"] == "Timeout"
        await until(lambda: len(peers) == 0)
        assert np.abs(user.sound()).max() > 0.05


async def test_stopping_gateway_finishes_the_running_turn_and_names_no_failure():
    brain, go, asked = ScriptedBrain(), asyncio.Event(), asyncio.Event()

    async def think(index: int) -> None:
        asked.set()
        await go.wait()

    brain.before = think
    async with (
        gateway_with(brain, ice_bind_addresses=[LOOPBACK]) as gateway,
        browser(microphone=False) as user,
        browser() as connecting,
        browser() as late,
    ):
        peers = gateway.service.peers
        await user.connect(await peers.answer(await user.offer()))
        await peers.answer(await connecting.offer())
        user.send({"text": "hello"})
        async with asyncio.timeout(PATIENCE_S):
            await asked.wait()
        draining = asyncio.create_task(gateway.service.drain(Deadline(PATIENCE_S)))
        await until(lambda: len(peers) == 1)  # the one that is not connected does not hold the gateway up
        with pytest.raises(NotReady):
            await peers.answer(await late.offer())
        go.set()
        await user.event("replyEnded")  # the whole reply was played
        await draining
        assert len(peers) == 0
        assert (np.abs(user.sound()) > 0.02).sum() / RATE_HZ > 0.1
        async with asyncio.timeout(PATIENCE_S):
            await user.closed.wait()
        assert user.events.empty()


async def test_browsers_and_grpc_callers_share_the_sessions():
    async with (
        gateway_with(ice_bind_addresses=[LOOPBACK], max_sessions=1) as gateway,
        browser(microphone=False) as user,
    ):
        go, started = asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(gateway.converse(go.wait(), until=lambda event: started.set()))
        async with asyncio.timeout(PATIENCE_S):
            await started.wait()
        await user.connect(await gateway.service.peers.answer(await user.offer()))
        failed = (await user.event("turnFailed"))["turnFailed"]
        assert failed["type"] == "Busy"
        assert "all 1 sessions are taken" in failed["message"]
        go.set()
        await first
