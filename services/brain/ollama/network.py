"""Addresses: which ones bypass proxies, and how they are logged."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit, urlunsplit

_PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".lan", ".home.arpa", ".svc", ".intranet", ".cluster.local")


def is_private(url: str) -> bool:
    """Whether the host is this machine or in its private network, so that no proxy should be used.

    Private are loopback, private and link-local addresses, names without a dot (services of a compose file or a
    cluster) and names with a suffix that is never public.
    """
    host = (urlsplit(url).hostname or "").rstrip(".").lower()
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_private
    except ValueError:
        return "." not in host or host.endswith(_PRIVATE_SUFFIXES)


def without_secrets(url: str) -> str:
    """`url` without user name, password and query, which may contain a key."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))
