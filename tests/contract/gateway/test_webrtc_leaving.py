"""Browsers that leave without a word, or whose session goes on elsewhere: everything is freed soon."""

from __future__ import annotations

import asyncio
import re

import psutil
import pytest

from oviya.tasks import cancel_and_wait
from services.gateway.settings import GatewaySettings
from services.gateway.transport.webrtc.ice import LOOPBACK, ice_agents
from tests.support.echo_conversation import Echo, peers_of
from tests.support.gateway_mesh import gateway_with
from tests.support.scripted_services import ScriptedBrain
from tests.support.waiting import PATIENCE_S, until
from tests.support.webrtc_client import browser

FREED_WITHIN_S = 10.0


def udp_sockets():
    return len(psutil.Process().net_connections(kind="udp"))


def vanish(user):
    """Ends a browser's network: it sends nothing any more, not even that it leaves."""
    for agent in ice_agents(user.connection):
        for protocol in agent._protocols:
            protocol.transport.abort()


def test_the_defaults_free_a_place_in_time():
    settings = GatewaySettings()
    assert max(settings.webrtc_silence_s, settings.webrtc_connect_s, settings.webrtc_first_packet_s) < FREED_WITHIN_S


@pytest.mark.parametrize("microphone", [True, False])
async def test_a_browser_that_vanishes_in_a_turn_frees_its_session(microphone):
    brain, asked = ScriptedBrain(), asyncio.Event()

    async def think(index: int) -> None:
        asked.set()
        await asyncio.Event().wait()

    brain.before = think
    async with gateway_with(brain, ice_bind_addresses=[LOOPBACK], webrtc_silence_s=3.0) as gateway:
        peers, sockets = gateway.service.peers, udp_sockets()
        async with browser(microphone=microphone) as user:
            await user.connect(await peers.answer(await user.offer()))
            user.send({"text": "hello"})
            async with asyncio.timeout(PATIENCE_S):
                await asked.wait()
            vanish(user)
            await until(lambda: len(peers) == 0)
            await until(lambda: len(gateway.service.conversation.sessions) == 0)
        assert udp_sockets() == sockets


async def test_a_quiet_browser_without_a_microphone_is_not_gone():
    async with peers_of(Echo(), webrtc_silence_s=2.0) as peers, browser(microphone=False) as user:
        await user.connect(await peers.answer(await user.offer()))
        await asyncio.sleep(4.0)
        user.send({"text": "nothing"})
        await user.event("replyEnded")


async def test_a_browser_that_gets_no_further_than_ice_gives_its_place_back(monkeypatch):
    async with peers_of(Echo(), webrtc_connect_s=1.0) as peers, browser() as user:
        sockets = udp_sockets()
        answer = await peers.answer(await user.offer())
        (dtls,) = {sender.transport for sender in user.connection.getSenders()}
        over = asyncio.Event()
        monkeypatch.setattr(dtls, "start", lambda parameters: over.wait())
        connecting = asyncio.create_task(user.connect(answer))
        (place,) = peers._peers
        await until(lambda: place.heard)
        await until(lambda: len(peers) == 0)
        over.set()
        await cancel_and_wait(connecting)
        await until(lambda: udp_sockets() <= sockets)


async def test_only_the_loopback_address_is_bound_where_the_setting_says_so():
    async with peers_of(Echo()) as peers, browser() as user:
        before = {connection.laddr for connection in psutil.Process().net_connections(kind="udp")}
        answer = await peers.answer(await user.offer())
        bound = {connection.laddr for connection in psutil.Process().net_connections(kind="udp")} - before
        assert {address.ip for address in bound} == {LOOPBACK}
        assert set(re.findall(r"candidate:\S+ 1 udp \d+ (\S+) ", answer)) == {LOOPBACK}
        await user.connect(answer)
        await user.event("sessionStarted")


@pytest.fixture
def store(tmp_path):
    return {"session_store": str(tmp_path / "sessions.db"), "ice_bind_addresses": [LOOPBACK]}


async def test_a_page_that_is_loaded_again_takes_its_session_over(store):
    async with gateway_with(ScriptedBrain(), **store) as gateway, browser() as first, browser() as second:
        peers = gateway.service.peers
        await first.connect(await peers.answer(await first.offer()))
        session = (await first.event("sessionStarted"))["sessionStarted"]
        answer = await peers.answer(await second.offer(), session["sessionId"], session["resumeToken"])
        await second.connect(answer)
        assert (await second.event("sessionStarted"))["sessionStarted"]["sessionId"] == session["sessionId"]
        failed = (await first.event("turnFailed"))["turnFailed"]
        assert "another window" in failed["message"]
        await until(lambda: len(peers) == 1)
        second.send({"text": "hello"})
        await second.event("replyEnded")


async def test_a_session_is_not_taken_over_without_its_token(store):
    async with gateway_with(ScriptedBrain(), **store) as gateway, browser() as first, browser() as second:
        peers = gateway.service.peers
        await first.connect(await peers.answer(await first.offer()))
        session = (await first.event("sessionStarted"))["sessionStarted"]
        first.send({"text": "hello"})  # from now on there is something to keep
        await first.event("replyEnded")
        await second.connect(await peers.answer(await second.offer(), session["sessionId"], "A" * 43))
        failed = (await second.event("turnFailed"))["turnFailed"]
        assert failed["type"] == "PermissionDenied"
        await until(lambda: len(peers) == 1)
        first.send({"text": "hello"})
        await first.event("replyEnded")


async def test_sessions_that_are_not_kept_do_not_end_each_other():
    async with (
        gateway_with(ScriptedBrain(), ice_bind_addresses=[LOOPBACK]) as gateway,
        browser() as first,
        browser() as second,
    ):
        peers = gateway.service.peers
        for user in (first, second):
            await user.connect(await peers.answer(await user.offer(), "name"))
            await user.event("sessionStarted")
        for user in (first, second):
            user.send({"text": "hello"})
            await user.event("replyEnded")
