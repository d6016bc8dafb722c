"""Which addresses are called directly, and how an address is shown."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit, urlunsplit

_PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".lan", ".home.arpa", ".svc", ".intranet", ".cluster.local")


def is_private(url: str) -> bool:
    """Says whether an address is of this machine or its private network, where no proxy should stand in between.

    So are loopback, private and link-local addresses, names without a dot (the services of a compose file or a
    cluster) and names under suffixes that are never public.
    """
    host = (urlsplit(url).hostname or "").rstrip(".").lower()
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return "." not in host or host.endswith(_PRIVATE_SUFFIXES)
    return address.is_private or address.is_loopback or address.is_link_local


def shown(url: str) -> str:
    """`url` without a user's name and password, and without its query, which may hold a key."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))
