"""Where media flows: bounded UDP ports, announced addresses and the loopback address, for aiortc's peer connections.

aioice binds a random port on every address but loopback, and offers no way to change that (its issue 47).  Behind a
container's published ports or a firewall it must be a known range, and the address in the answer must be the one that
browsers reach.  `IcePolicy.apply` replaces one method on the ICE agents of one peer connection, between
setRemoteDescription, which makes the agents, and setLocalDescription, which gathers; other connections of the process
stay as they are.  `check_upstream` fails with a clear message where a new aioice or aiortc no longer fits.
"""

from __future__ import annotations

import asyncio
import errno
import inspect
import ipaddress
import random
import socket
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
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

log = structlog.get_logger()

LOOPBACK = "127.0.0.1"
RETRY_AFTER_S = 5.0
_RECEIVE_BUFFER_BYTES = 256 << 10  # some 20 s of Opus: a stalled event loop loses nothing
_TOP_LOCAL_PREFERENCE = 65_535  # RFC 8445, 5.1.2.1


@dataclass(frozen=True)
class IcePolicy:
    """How host candidates are made.

    Args:
        port_min: first UDP port; 0: the system chooses.
        port_max: last UDP port.  Every session takes one port on every bound address.
        bind_addresses: addresses to bind, the most wanted first.  Empty: all of this machine's, loopback last
            (without loopback where addresses are announced).
        announced_addresses: addresses that browsers are told instead, with the bound port: for ports that are published
            one to one, as `docker run -p 40000-40099:40000-40099/udp` does.  Empty: the bound ones.

    Raises:
        ValueError: a range that is empty or half set, or an address that is no IP address.
    """

    port_min: int = 0
    port_max: int = 0
    bind_addresses: Sequence[str] = ()
    announced_addresses: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.port_min <= self.port_max <= 65_535 or (self.port_min == 0 and self.port_max != 0):
            raise ValueError(f"UDP ports {self.port_min} to {self.port_max} are no range")
        for address in (*self.bind_addresses, *self.announced_addresses):
            ipaddress.ip_address(address)

    @property
    def port_count(self) -> int:
        """UDP ports on each address, each of which serves one session at a time; 0: as many as the system has."""
        return self.port_max - self.port_min + 1 if self.port_min else 0

    def apply(self, connection: RTCPeerConnection) -> None:
        """Makes the ICE agents that `connection` has by now gather by this policy.

        Their gathering, and with it setLocalDescription, then raises Busy where the ports are used up and NotReady
        where no address can be bound.
        """
        transports = [transceiver.receiver.transport for transceiver in connection.getTransceivers()]
        if connection.sctp:
            transports.append(connection.sctp.transport)
        for gatherer in {dtls.transport.iceGatherer for dtls in transports}:
            agent = gatherer._connection
            agent.get_component_candidates = partial(self._gather, agent)  # pyright: ignore[reportAttributeAccessIssue]

    async def _gather(
        self, agent: aioice.Connection, component: int, addresses: list[str], timeout: int = 5
    ) -> list[aioice.Candidate]:
        """Replaces `aioice.Connection.get_component_candidates`; `addresses` is what aioice would have bound."""
        candidates: list[aioice.Candidate] = []
        bound: list[aioice.ice.StunProtocol] = []
        for address in self._addresses_to_bind():
            try:
                protocol = await self._bind(agent, address)
            except OSError as error:
                log.info("address not usable for media", address=address, reason=str(error))
                continue
            agent._protocols.append(protocol)  # closed with the agent from now on
            bound.append(protocol)
            preference = _TOP_LOCAL_PREFERENCE - len(candidates)
            hosts = [
                _host_candidate(component, told, protocol, preference - index)
                for index, told in enumerate(self._addresses_to_tell(address))
            ]
            protocol.local_candidate = hosts[0]
            candidates += hosts
        if not bound:
            raise NotReady("no address of this machine can be bound for media", hint="check the bind addresses")
        upstream = aioice.Connection.get_component_candidates(agent, component, [], timeout)  # TURN, where there is one
        return candidates + await upstream + await _reflexive_candidates(agent, bound, timeout)

    def _addresses_to_bind(self) -> list[str]:
        addresses = list(self.bind_addresses)
        if not addresses:
            addresses = aioice.ice.get_host_addresses(use_ipv4=True, use_ipv6=True)
            if not self.announced_addresses:
                addresses.append(LOOPBACK)
        return [address for address in addresses if self._addresses_to_tell(address)]

    def _addresses_to_tell(self, bound: str) -> list[str]:
        """Addresses for the candidates of a socket: of its own IP version, which is what aioice pairs by."""
        if not self.announced_addresses:
            return [bound]
        family = ipaddress.ip_address(bound).version
        return [told for told in self.announced_addresses if ipaddress.ip_address(told).version == family]

    async def _bind(self, agent: aioice.Connection, address: str) -> aioice.ice.StunProtocol:
        """Binds a free port of the range, beginning anywhere so that a port rests after use.

        Raises:
            Busy: all ports are taken.
            OSError: the address cannot be bound.
        """
        loop = asyncio.get_running_loop()
        count = self.port_max - self.port_min + 1
        start = random.randrange(count)
        for step in range(count):
            port = self.port_min + (start + step) % count
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
            f"all {count} UDP ports from {self.port_min} to {self.port_max} are taken on {address}",
            retry_after_s=RETRY_AFTER_S,
        )


def _host_candidate(
    component: int, told: str, protocol: aioice.ice.StunProtocol, local_preference: int
) -> aioice.Candidate:
    return aioice.Candidate(
        foundation=candidate_foundation("host", "udp", told),
        component=component,
        transport="udp",
        priority=candidate_priority(component, "host", local_preference),
        host=told,
        port=protocol.transport.get_extra_info("sockname")[1],
        type="host",
    )


async def _reflexive_candidates(
    agent: aioice.Connection, bound: Sequence[aioice.ice.StunProtocol], timeout: int
) -> list[aioice.Candidate]:
    """Asks the STUN server, where there is one, how it sees each IPv4 socket; one that does not answer is left out."""
    if not agent.stun_server:
        return []

    async def ask(protocol: aioice.ice.StunProtocol, server: tuple[str, int]) -> list[aioice.Candidate]:
        try:
            async with asyncio.timeout(timeout):
                candidate, _ = await aioice.ice.server_reflexive_candidate(protocol, server)
        except (aioice.stun.TransactionError, OSError) as error:  # TimeoutError is an OSError
            log.info("STUN server does not answer", reason=str(error))
            return []
        return [candidate]

    questions: list[Coroutine[Any, Any, list[aioice.Candidate]]] = [
        ask(protocol, agent.stun_server)
        for protocol in bound
        if ipaddress.ip_address(protocol.local_candidate.host).version == 4
    ]
    return [candidate for answer in await asyncio.gather(*questions) for candidate in answer]


def check_upstream() -> None:
    """Checks that aioice and aiortc have what `IcePolicy` builds on.

    Raises:
        OviyaError: they changed; says what is missing and in which versions.
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
            hint="the UDP port range cannot be kept; install aiortc 1.16 with aioice 0.13",
        )
