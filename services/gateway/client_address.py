"""Clients and their limits: a client is the address that a request comes from, or that a trusted proxy reports."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import unquote

IPV6_CLIENT_BITS = 64
"""Prefix length of an IPv6 client: a site gets at least a /64 (RFC 6177)."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class ClientAddresses:
    """Names clients.

    Args:
        trusted_proxies: addresses and networks, e.g. "10.0.0.0/8", whose X-Forwarded-For header is used.  Any caller
            can send that header, so it is ignored from others.

    Raises:
        ValueError: an entry is neither an address nor a network.
    """

    def __init__(self, trusted_proxies: Iterable[str] = ()) -> None:
        self._proxies = [ipaddress.ip_network(one, strict=False) for one in trusted_proxies]

    def is_proxy(self, peer: str) -> bool:
        """Returns whether `peer`, an IP address, is a trusted proxy."""
        address = parse_address(peer)
        return address is not None and any(address in network for network in self._proxies)

    def name(self, peer: str, forwarded: Iterable[str] = ()) -> str:
        """Returns the client's name: an IPv4 address, an IPv6 /64 network, or "unix".

        Args:
            peer: IP address at the other end of the connection.
            forwarded: values of the X-Forwarded-For headers, in order.
        """
        hops = [hop.strip() for value in forwarded for hop in value.split(",")]
        # Each proxy appends the address of its caller, so the last entry that is not a trusted proxy is the client.
        while hops and self.is_proxy(peer) and parse_address(hops[-1]) is not None:
            peer = hops.pop()
        address = parse_address(peer)
        if address is None:
            return peer
        if address.version == 6 and not address.is_loopback:
            return str(ipaddress.ip_network((address, IPV6_CLIENT_BITS), strict=False))
        return str(address)


def parse_address(text: str) -> Address | None:
    """Parses an IP address with or without port and brackets; IPv4-mapped ones become IPv4.  None: not an address."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def grpc_peer_address(peer: str) -> str:
    """Returns the address in gRPC's name of a peer, e.g. "ipv4:10.0.0.1:50000" or "ipv6:%5B::1%5D:50000"."""
    kind, _, rest = unquote(peer).partition(":")
    if kind not in ("ipv4", "ipv6"):
        return kind
    address = parse_address(rest)
    return str(address) if address is not None else rest


def client_limit(client: str, limit: int | None, places: int) -> int:
    """Returns how many of `places` one client may have.

    Args:
        client: a name that `ClientAddresses.name` returned, or "" where it is unknown.
        limit: the operator's setting; it applies to every client.  None: half of `places`, and all of them for this
            machine's own addresses, from which a reverse proxy or an application brings many users.
        places: all there are.
    """
    if limit is not None:
        return limit
    return places if is_local(client) else max(1, places // 2)


def is_local(client: str) -> bool:
    """Returns whether `client` is this machine."""
    try:
        return ipaddress.ip_address(client.partition("/")[0]).is_loopback
    except ValueError:
        return client in ("", "unix")
