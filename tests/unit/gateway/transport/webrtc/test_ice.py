"""ICE: bounded ports, announced addresses, loopback, and a guard against another aioice."""

from __future__ import annotations

import asyncio
import re
import socket

import aioice
import aioice.stun
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from oviya.errors import Busy, InvalidInput, NotReady, OviyaError
from services.gateway.ice_policy import IcePolicy
from services.gateway.ice_servers import IceServers
from services.gateway.transport.webrtc import ice
from services.gateway.transport.webrtc.ice import apply_policy, check_upstream
from services.gateway.transport.webrtc.offer import MAX_CANDIDATES, read_offer
from tests.support.ports import free_range

LOOPBACK = "127.0.0.1"


def connection():
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


async def offer_of(client, policy=None):
    """The offer of a browser-like client: one audio track and one data channel."""
    client.addTransceiver("audio", direction="sendrecv")
    client.createDataChannel("events")
    apply_policy(policy or IcePolicy(bind_addresses=[LOOPBACK]), client)
    await client.setLocalDescription()
    return client.localDescription.sdp


async def answered(server, offer, policy):
    await server.setRemoteDescription(RTCSessionDescription(offer, "offer"))
    apply_policy(policy, server)
    await server.setLocalDescription()
    return server.localDescription.sdp


def host_candidates(sdp):
    """Unique (address, port) of the host candidates."""
    return sorted({(a, int(p)) for a, p in re.findall(r"a=candidate:\S+ \d udp \d+ (\S+) (\d+) typ host", sdp)})


@pytest.fixture
async def peers():
    opened = []

    def make():
        opened.append(connection())
        return opened[-1]

    yield make
    for one in opened:
        await one.close()


async def connected(one):
    if one.connectionState != "connected":
        done = asyncio.get_running_loop().create_future()
        one.on("connectionstatechange", lambda: done.done() or one.connectionState != "connected" or done.set_result(0))
        async with asyncio.timeout(20):
            await done


async def test_ports_stay_in_the_range_and_media_connects(peers):
    first, last = free_range(4)
    client, server = peers(), peers()
    offer = await offer_of(client)
    answer = await answered(server, offer, IcePolicy(first, last, [LOOPBACK]))
    ((address, port),) = host_candidates(answer)
    assert address == LOOPBACK
    assert first <= port <= last
    await client.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    await asyncio.gather(connected(client), connected(server))


async def test_a_full_range_is_busy_and_ports_come_back(peers):
    first, last = free_range(2)
    policy = IcePolicy(first, last, [LOOPBACK])
    offer = await offer_of(peers())
    servers = [peers(), peers()]
    ports = {host_candidates(await answered(one, offer, policy))[0][1] for one in servers}
    assert ports == {first, last}
    late = peers()
    with pytest.raises(Busy, match=f"all 2 UDP ports from {first} to {last} are taken"):
        await answered(late, offer, policy)
    await servers[0].close()
    again = peers()
    assert host_candidates(await answered(again, offer, policy))[0][1] in ports


async def test_two_addresses_take_a_port_each_and_a_failure_gives_both_back(peers):
    first, last = free_range(1)
    policy = IcePolicy(first, last, [LOOPBACK, "127.0.0.2"])
    offer = await offer_of(peers())
    server = peers()
    assert host_candidates(await answered(server, offer, policy)) == [(LOOPBACK, first), ("127.0.0.2", first)]
    await server.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.2", first))
        failed = peers()
        with pytest.raises(Busy):
            await answered(failed, offer, policy)
        await failed.close()
    assert len(host_candidates(await answered(peers(), offer, policy))) == 2  # nothing was left bound


async def test_the_answer_says_the_announced_address_with_the_bound_port(peers):
    first, last = free_range(2)
    policy = IcePolicy(first, last, [LOOPBACK], ["203.0.113.7", "198.51.100.9"])
    answer = await answered(peers(), await offer_of(peers()), policy)
    candidates = host_candidates(answer)
    assert [address for address, _ in candidates] == ["198.51.100.9", "203.0.113.7"]
    assert len({port for _, port in candidates}) == 1
    assert LOOPBACK not in answer
    priorities = re.findall(r"udp (\d+) (\S+) \d+ typ host", answer)
    assert len({priority for priority, _ in priorities}) == 2  # RFC 8445: each its own


async def test_media_connects_through_an_announced_address(peers):
    # 127.0.0.1 stands for the published port of a container, whose own address is 0.0.0.0 here.
    client, server = peers(), peers()
    offer = await offer_of(client)
    answer = await answered(server, offer, IcePolicy(*free_range(2), ["0.0.0.0"], [LOOPBACK]))
    assert host_candidates(answer)[0][0] == LOOPBACK
    await client.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    await asyncio.gather(connected(client), connected(server))


async def test_only_addresses_of_the_announced_kind_are_bound(peers):
    policy = IcePolicy(bind_addresses=[LOOPBACK, "::1"], announced_addresses=["203.0.113.7"])
    answer = await answered(peers(), await offer_of(peers()), policy)
    assert [address for address, _ in host_candidates(answer)] == ["203.0.113.7"]


async def test_by_default_loopback_comes_last_after_this_machine_s_addresses(peers):
    answer = await answered(peers(), await offer_of(peers()), IcePolicy())
    addresses = re.findall(r"a=candidate:\S+ 1 udp \d+ (\S+) \d+ typ host", answer)
    expected = [*aioice.ice.get_host_addresses(True, True), LOOPBACK]
    assert addresses[: len(expected)] == expected


async def test_addresses_that_are_not_this_machine_s_are_left_out(peers):
    policy = IcePolicy(bind_addresses=["203.0.113.7", LOOPBACK])
    answer = await answered(peers(), await offer_of(peers()), policy)
    assert [address for address, _ in host_candidates(answer)] == [LOOPBACK]
    with pytest.raises(NotReady, match="no address"):
        await answered(peers(), await offer_of(peers()), IcePolicy(bind_addresses=["203.0.113.7"]))


async def test_other_connections_are_left_alone(peers):
    first, last = free_range(1)
    server, other = peers(), peers()
    offer = await offer_of(peers())
    await answered(server, offer, IcePolicy(first, last, [LOOPBACK]))
    await other.setRemoteDescription(RTCSessionDescription(offer, "offer"))
    await other.setLocalDescription()
    assert not any(port == first for _, port in host_candidates(other.localDescription.sdp))


async def test_a_stun_server_is_asked_and_a_silent_one_left_out(peers, monkeypatch):
    policy = IcePolicy(bind_addresses=[LOOPBACK])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((LOOPBACK, 0))
        port = silent.getsockname()[1]
        server = RTCPeerConnection(RTCConfiguration(iceServers=[ice_server(f"stun:{LOOPBACK}:{port}")]))
        try:
            await server.setRemoteDescription(RTCSessionDescription(await offer_of(peers()), "offer"))
            apply_policy(policy, server)
            agent = server.getTransceivers()[0].receiver.transport.transport.iceGatherer._connection
            # what aioice asks with its own time-out of 5 s must not take that long here
            candidates = await agent.get_component_candidates(component=1, addresses=[], timeout=1)
            assert [candidate.type for candidate in candidates] == ["host"]
            assert silent.recv(2048)[:2] == b"\x00\x01"  # a binding request
        finally:
            await server.close()


async def test_a_stun_server_s_answer_becomes_a_candidate(peers):
    class StunServer(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, addr):
            request = aioice.stun.parse_message(data)
            response = aioice.stun.Message(
                message_method=request.message_method,
                message_class=aioice.stun.Class.RESPONSE,
                transaction_id=request.transaction_id,
            )
            response.attributes["XOR-MAPPED-ADDRESS"] = ("203.0.113.99", addr[1])
            self.transport.sendto(bytes(response), addr)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(StunServer, local_addr=(LOOPBACK, 0))
    port = transport.get_extra_info("sockname")[1]
    server = RTCPeerConnection(RTCConfiguration(iceServers=[ice_server(f"stun:{LOOPBACK}:{port}")]))
    try:
        answer = await answered(server, await offer_of(peers()), IcePolicy(bind_addresses=[LOOPBACK]))
    finally:
        await server.close()
        transport.close()
    assert re.search(r"203\.0\.113\.99 \d+ typ srflx raddr 127\.0\.0\.1", answer)


def ice_server(url):
    from aiortc import RTCIceServer

    return RTCIceServer(url)


@pytest.mark.parametrize(
    "arguments",
    [
        {"port_min": 10},
        {"port_max": 10},
        {"port_min": 20, "port_max": 10},
        {"port_min": 1, "port_max": 70_000},
        {"bind_addresses": ["localhost"]},
        {"announced_addresses": ["example.org"]},
    ],
)
def test_policies_that_make_no_sense_are_refused(arguments):
    with pytest.raises(ValueError, match=r"not a valid range|IPv4 or IPv6"):
        IcePolicy(**arguments)


async def test_the_installed_aioice_fits():
    check_upstream()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda patch: patch.delattr(aioice.ice, "StunProtocol"), "aioice.ice.StunProtocol"),
        (
            lambda patch: patch.setattr(aioice.Connection, "get_component_candidates", lambda self, port_range: None),
            "get_component_candidates",
        ),
        (lambda patch: patch.setattr(ice, "RTCIceGatherer", lambda **_: object()), "RTCIceGatherer._connection"),
    ],
)
async def test_another_aioice_is_refused_in_plain_words(monkeypatch, change, named):
    change(monkeypatch)
    with pytest.raises(OviyaError, match=named) as caught:
        check_upstream()
    assert "aiortc 1.16" in caught.value.hint


@pytest.mark.parametrize(
    ("urls", "credentials", "message"),
    [
        (["http://x"], (), "not a valid stun:"),
        (["stun:"], (), "not a valid stun:"),
        (["stun:a?transport=udp"], (), "does not support transport"),
        (["turns:a?transport=udp"], ("u", "p"), "does not support transport"),
        (["stun:a", "stun:b"], (), "only one STUN"),
        (["turn:a", "turns:b"], ("u", "p"), "only one TURN"),
        (["turn:a"], (), "needs a user name"),
    ],
)
def test_ice_servers_that_could_not_be_used_are_refused(urls, credentials, message):
    with pytest.raises(ValueError, match=message):
        IceServers(urls, *credentials)


def test_ice_servers_for_the_page_carry_credentials_for_turn_only():
    servers = IceServers(["stun:stun.example:3478", "turn:turn.example?transport=udp"], "user", "secret")
    assert servers.for_browser() == [
        {"urls": "stun:stun.example:3478"},
        {"urls": "turn:turn.example?transport=udp", "username": "user", "credential": "secret"},
    ]
    assert servers.secret
    assert not IceServers(["stun:stun.example"]).secret


# --- Offers -----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def offer(peers):
    return await offer_of(peers())


async def test_a_good_offer_passes(offer):
    description = read_offer(offer, 65_536)
    assert description.type == "offer"
    assert "a=end-of-candidates" not in description.sdp
    assert host_candidates(description.sdp) == host_candidates(offer)


async def test_mdns_candidates_are_left_out(offer):
    hidden = re.sub(rf"{LOOPBACK}( \d+ typ host)", r"3b4c11c8-0d3f-4f0e-9f2a-1f1f1f1f1f1f.local\1", offer)
    assert ".local" in hidden
    assert ".local" not in read_offer(hidden, 65_536).sdp


@pytest.mark.parametrize(
    ("change", "limit"),
    [
        (lambda sdp: "", "audio"),
        (lambda sdp: "hello", "SDP|audio"),
        (lambda sdp: "\x00\xff" * 100, "SDP|audio"),
        (lambda sdp: '{"sdp": 1}', "SDP|audio"),
        (lambda sdp: sdp + "a" * 70_000, "65536 bytes"),
        (lambda sdp: sdp[: len(sdp) // 3], "ICE|fingerprint|direction|Opus|data section|rtcp"),
        (lambda sdp: sdp.replace("m=audio", "m=video"), "one audio"),
        (lambda sdp: sdp + sdp[sdp.index("m=audio") :], "one audio"),
        (lambda sdp: re.sub(r"a=ice-pwd:\S+\r\n", "", sdp), "ICE"),
        (lambda sdp: re.sub(r"a=ice-ufrag:\S+", "a=ice-ufrag:" + "x" * 257, sdp), "ICE credentials"),
        (lambda sdp: re.sub(r"a=ice-pwd:\S+", "a=ice-pwd:too-short", sdp), "ICE credentials"),
        (lambda sdp: sdp.replace("s=-", "s=\ud800"), "SDP"),
        (lambda sdp: re.sub(r"a=fingerprint:.*\r\n", "", sdp), "fingerprint"),
        (lambda sdp: sdp.replace("a=sendrecv", "a=sendonly"), "sendrecv or recvonly"),
        (lambda sdp: sdp.replace("opus/48000", "speex/48000"), "Opus"),
        (lambda sdp: sdp.replace("a=rtcp-mux\r\n", ""), "rtcp-mux"),
        (lambda sdp: sdp + "a=candidate:1 1 udp 1 10.0.0.1 9 typ host\r\n" * MAX_CANDIDATES, "64 candidates"),
        (lambda sdp: sdp.replace("typ host", "typ"), "SDP"),
    ],
)
async def test_offers_that_are_none_are_refused(offer, change, limit):
    with pytest.raises(InvalidInput) as caught:
        read_offer(change(offer), 65_536)
    assert caught.value.field == "sdp"
    assert re.search(limit, caught.value.limit)
    assert len(caught.value.value) <= 100
