"""The gateway in a crowd: replayed offers, more browsers than places, and one address that wants all of them."""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import asynccontextmanager

import pytest

from oviya.errors import Busy
from services.gateway.settings import GatewaySettings
from services.gateway.transport.admission import OfferInUse
from services.gateway.transport.webrtc.ice import LOOPBACK
from tests.contract.gateway.test_http import FakeReadiness
from tests.support.echo_conversation import Echo, open_web, peers_of
from tests.support.ports import free_range
from tests.support.waiting import until
from tests.support.webrtc_client import browser

FLOOD_S = float(os.environ.get("OVIYA_FLOOD_S", "8"))
"""How long offers are replayed."""
REPLAYS_A_SECOND = 20
PORTS = 20


@asynccontextmanager
async def web_of(**settings):
    first, last = free_range(PORTS)
    settings = {
        "http_port": 0,
        "ice_bind_addresses": [LOOPBACK],
        "udp_port_min": first,
        "udp_port_max": last,
        **settings,
    }
    async with open_web(Echo(), FakeReadiness(), GatewaySettings(**settings)) as (peers, session):
        yield peers, session


async def post(session, sdp, **headers):
    async with session.post("/offer", json={"sdp": sdp, "type": "offer"}, headers=headers) as response:
        return response.status, await response.json()


def another(offer, index):
    """The offer with other ICE credentials, as a new connection of the same program would have."""
    offer = re.sub(r"a=ice-ufrag:\S+", f"a=ice-ufrag:{index:08d}", offer)
    return re.sub(r"a=ice-pwd:\S+", f"a=ice-pwd:{index:024d}", offer)


def same(offer, _index):
    return offer


@pytest.mark.slow
@pytest.mark.parametrize("changed", [same, another], ids=["the same offer", "fresh offers"])
async def test_a_browser_gets_in_while_offers_are_replayed(changed):
    loop = asyncio.get_running_loop()
    statuses, connected_after = [], []
    async with web_of() as (peers, session), browser() as replayed:
        offer = await replayed.offer()
        over = loop.time() + FLOOD_S
        posts = set()

        async def replay(index):
            statuses.append((await post(session, changed(offer, index)))[0])

        async def flood():
            index = 0
            while loop.time() < over:
                posts.add(asyncio.ensure_future(replay(index)))
                index += 1
                await asyncio.sleep(1 / REPLAYS_A_SECOND)

        flooding = asyncio.ensure_future(flood())
        await asyncio.sleep(2)
        while loop.time() < over:
            async with browser() as user:  # from the same address
                asked_at = loop.time()
                status, answer = await post(session, await user.offer())
                assert status == 200, answer
                await user.connect(answer["sdp"])
                connected_after.append(loop.time() - asked_at)
                user.send({"text": "nothing"})
                await user.event("replyEnded")
            await asyncio.sleep(1)
        await flooding
        await asyncio.gather(*posts)
        ports_held = len(peers)
    print(f"{len(statuses)} offers replayed in {FLOOD_S:g} s, {statuses.count(200)} of them answered; "
          f"{len(connected_after)} browsers connected, the slowest in {max(connected_after):.2f} s")  # fmt: skip
    assert connected_after
    assert ports_held <= 10
    if changed is same:
        assert statuses.count(200) <= 2 + FLOOD_S / 5  # once, and again each time that nobody came
        assert set(statuses) == {200, 409}


async def test_a_replayed_offer_takes_no_second_port():
    first, last = free_range(4)
    async with peers_of(Echo(), udp_port_min=first, udp_port_max=last) as peers, browser() as user:
        offer = await user.offer()
        answer = await peers.answer(offer)
        changed = offer.replace("s=-", "s=other").replace("a=sendrecv", "a=recvonly")
        for again in (offer, changed):
            with pytest.raises(OfferInUse):
                await peers.answer(again)
        assert len(peers) == 1
        await user.connect(answer)
        with pytest.raises(OfferInUse):
            await peers.answer(offer)


async def test_a_browser_that_is_never_heard_of_gives_its_place_back_sooner():
    limits = {"webrtc_first_packet_s": 0.2, "webrtc_connect_s": 300}
    async with peers_of(Echo(), **limits) as peers, browser() as silent, browser() as user:
        await peers.answer(await silent.offer())
        answer = await peers.answer(await user.offer())
        await user.connect(answer)
        await until(lambda: len(peers) == 1)
        user.send({"text": "nothing"})
        await user.event("replyEnded")


async def test_a_displaced_place_s_port_serves_the_next_browser():
    first, _ = free_range(1)
    ports = {"udp_port_min": first, "udp_port_max": first}
    async with peers_of(Echo(), **ports) as peers, browser() as silent, browser() as user, browser() as late:
        await peers.answer(await silent.offer(), client="10.0.0.1")
        await user.connect(await peers.answer(await user.offer(), client="10.0.0.2"))
        assert len(peers) == 1
        with pytest.raises(Busy, match=f"all 1 UDP ports from {first} to {first} are taken"):
            await peers.answer(await late.offer(), client="10.0.0.3")


async def test_one_client_s_browsers_are_limited_and_others_get_in():
    limits = {"max_sessions_per_client": 1}
    async with peers_of(Echo(), **limits) as peers, browser() as one, browser() as two, browser() as other:
        await one.connect(await peers.answer(await one.offer(), client="10.0.0.1"))
        with pytest.raises(Busy, match=r"10\.0\.0\.1 holds all 1 sessions"):
            await peers.answer(await two.offer(), client="10.0.0.1")
        await other.connect(await peers.answer(await other.offer(), client="10.0.0.2"))


async def test_behind_a_trusted_proxy_each_user_is_a_client_of_their_own():
    settings = {"trusted_proxies": ["127.0.0.1"], "max_sessions_per_client": 1}
    async with web_of(**settings) as (_, session), browser() as one, browser() as two, browser() as other:
        status, answer = await post(session, await one.offer(), **{"X-Forwarded-For": "203.0.113.1"})
        assert status == 200
        await one.connect(answer["sdp"])
        status, answer = await post(session, await two.offer(), **{"X-Forwarded-For": "203.0.113.1"})
        assert (status, answer["error"]["type"]) == (429, "Busy")
        status, answer = await post(session, await other.offer(), **{"X-Forwarded-For": "203.0.113.2"})
        assert status == 200


async def test_fewer_udp_ports_than_sessions_are_told_at_the_start(capsys):
    import structlog

    with structlog.testing.capture_logs() as logs:
        async with peers_of(Echo(), udp_port_min=40_000, udp_port_max=40_019, max_sessions=64):
            pass
    (line,) = [line for line in logs if "UDP ports" in line["event"]]
    assert (line["log_level"], line["ports"], line["sessions"]) == ("warning", 20, 64)
    assert "GATEWAY_UDP_PORT_MAX" in line["event"]
