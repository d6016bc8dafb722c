"""Bounded UDP ports, announced addresses and the loopback address for aiortc's peer connections.

aioice binds a random port on every address except loopback, and has no option for that (its issue 47).  Behind a
container's published ports or a firewall, the port must be in a known range, and the answer must contain the address
that browsers reach.  `apply_policy` replaces one method on the ICE agents of one peer connection, between
setRemoteDescription, which creates the agents, and setLocalDescription, which gathers candidates; other connections of
the process are unaffected.  `check_upstream` raises a clear error when a new aioice or aiortc no longer fits.
"""

from __future__ import annotations

import asyncio
import errno
import inspect
import ipaddress
import random
import socket
from collections.abc import Coroutine, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import aioice
import aioice.ice
import aioice.stun
import structlog
from aioice.candidate import candidate_foundation, candidate_priority
from aiortc import RTCIceGatherer, RTCPeerConnection

from oviya.errors import Busy, NotReady, OviyaError
from services.gateway.ice_policy import IcePolicy

log = structlog.get_logger()

LOOPBACK = "127.0.0.1"
RETRY_AFTER_S = 5.0
_RECEIVE_BUFFER_BYTES = 256 << 10  # some 20 s of Opus: a stalled event loop loses no packet
_TOP_LOCAL_PREFERENCE = 65_535  # RFC 8445, 5.1.2.1


def apply_policy(policy: IcePolicy, connection: RTCPeerConnection) -> None:
    """Makes the ICE agents of `connection` gather candidates by `policy`.

    Gathering, and so setLocalDescription, then raises Busy when no port is free and NotReady when no address can be
    bound.
    """
    for agent in ice_agents(connection):
        agent.get_component_candidates = partial(_gather, policy, agent)  # pyright: ignore[reportAttributeAccessIssue]


def ice_agents(connection: RTCPeerConnection) -> list[aioice.Connection]:
    """Returns the ICE agents that `connection` has created so far."""
    transports = [transceiver.receiver.transport for transceiver in connection.getTransceivers()]
    if connection.sctp:
        transports.append(connection.sctp.transport)
    return [gatherer._connection for gatherer in {dtls.transport.iceGatherer for dtls in transports}]


async def _gather(
    policy: IcePolicy, agent: aioice.Connection, component: int, addresses: list[str], timeout: int = 5
) -> list[aioice.Candidate]:
    """Replaces `aioice.Connection.get_component_candidates`; `addresses`, which aioice would bind, is ignored."""
    candidates: list[aioice.Candidate] = []
    bound: list[aioice.ice.StunProtocol] = []
    for address in _addresses_to_bind(policy):
        try:
            protocol = await _bind(policy, agent, address)
        except OSError as error:
            log.info("address cannot be used for media", address=address, reason=str(error))
            continue
        agent._protocols.append(protocol)  # from now on closed with the agent
        bound.append(protocol)
        preference = _TOP_LOCAL_PREFERENCE - len(candidates)
        hosts = [
            _host_candidate(component, announced, protocol, preference - index)
            for index, announced in enumerate(_announced_addresses(policy, address))
        ]
        protocol.local_candidate = hosts[0]
        candidates += hosts
    if not bound:
        raise NotReady("no address of this machine can be bound for media", hint="check GATEWAY_ICE_BIND_ADDRESSES")
    upstream = aioice.Connection.get_component_candidates(agent, component, [], timeout)  # TURN, where configured
    return candidates + await upstream + await _reflexive_candidates(agent, bound, timeout)


def _addresses_to_bind(policy: IcePolicy) -> list[str]:
    addresses = list(policy.bind_addresses)
    if not addresses:
        addresses = aioice.ice.get_host_addresses(use_ipv4=True, use_ipv6=True)
        if not policy.announced_addresses:
            addresses.append(LOOPBACK)
    return [address for address in addresses if _announced_addresses(policy, address)]


def _announced_addresses(policy: IcePolicy, bound: str) -> list[str]:
    """Returns the addresses for a socket's candidates: only those of its IP version, which aioice requires in pairs."""
    if not policy.announced_addresses:
        return [bound]
    family = ipaddress.ip_address(bound).version
    return [address for address in policy.announced_addresses if ipaddress.ip_address(address).version == family]


async def _bind(policy: IcePolicy, agent: aioice.Connection, address: str) -> aioice.ice.StunProtocol:
    """Binds a free port of the range, starting at a random one so that a port is not reused at once.

    Raises:
        Busy: all ports are in use.
        OSError: the address cannot be bound.
    """
    loop = asyncio.get_running_loop()
    count = policy.port_max - policy.port_min + 1
    start = random.randrange(count)
    for step in range(count):
        port = policy.port_min + (start + step) % count
        try:
            transport, protocol = await loop.create_datagram_endpoint(
                partial(aioice.ice.StunProtocol, agent), local_addr=(address, port)
            )
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        return protocol
    raise Busy(
        f"all {count} UDP ports from {policy.port_min} to {policy.port_max} are taken on {address}",
        retry_after_s=RETRY_AFTER_S,
    )


def _host_candidate(
    component: int, announced: str, protocol: aioice.ice.StunProtocol, local_preference: int
) -> aioice.Candidate:
    return aioice.Candidate(
        foundation=candidate_foundation("host", "udp", announced),
        component=component,
        transport="udp",
        priority=candidate_priority(component, "host", local_preference),
        host=announced,
        port=protocol.transport.get_extra_info("sockname")[1],
        type="host",
    )


async def _reflexive_candidates(
    agent: aioice.Connection, bound: Sequence[aioice.ice.StunProtocol], timeout: int
) -> list[aioice.Candidate]:
    """Returns the address of each IPv4 socket as the STUN server sees it, without those that got no answer."""
    if not agent.stun_server:
        return []

    async def ask(protocol: aioice.ice.StunProtocol, server: tuple[str, int]) -> list[aioice.Candidate]:
        try:
            async with asyncio.timeout(timeout):
                candidate, _ = await aioice.ice.server_reflexive_candidate(protocol, server)
        except (aioice.stun.TransactionError, OSError) as error:  # TimeoutError is an OSError
            log.info("the STUN server does not answer", reason=str(error))
            return []
        return [candidate]

    questions: list[Coroutine[Any, Any, list[aioice.Candidate]]] = [
        ask(protocol, agent.stun_server)
        for protocol in bound
        if ipaddress.ip_address(protocol.local_candidate.host).version == 4
    ]
    return [candidate for answer in await asyncio.gather(*questions) for candidate in answer]


def check_upstream() -> None:
    """Checks that aioice and aiortc have what `apply_policy` relies on.

    Raises:
        OviyaError: they changed; the message names what is missing and the versions.
    """
    expected = ["self", "component", "addresses", "timeout"]
    missing = [
        f"aioice.ice.{name}"
        for name in ("StunProtocol", "server_reflexive_candidate", "get_host_addresses")
        if not hasattr(aioice.ice, name)
    ]
    gather = getattr(aioice.Connection, "get_component_candidates", None)
    if gather is None or list(inspect.signature(gather).parameters) != expected:
        missing.append("aioice.Connection.get_component_candidates(component, addresses, timeout)")
    agent = getattr(RTCIceGatherer(iceServers=[]), "_connection", None)
    if not isinstance(agent, aioice.Connection):
        missing.append("aiortc.RTCIceGatherer._connection")
    elif not isinstance(getattr(agent, "_protocols", None), list):
        missing.append("aioice.Connection._protocols")
    if missing:
        raise OviyaError(
            f"aioice {version('aioice')} and aiortc {version('aiortc')} lack {', '.join(missing)}",
            hint="the UDP port range cannot be applied; install aiortc 1.16 with aioice 0.13",
        )
