"""STUN and TURN servers, for aiortc and for the page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_URL = re.compile(r"(?P<scheme>stun|turns?):[^?:\s]+(:\d{1,5})?(\?transport=(?P<transport>udp|tcp))?")  # RFC 7064, 7065


@dataclass(frozen=True)
class IceServers:
    """At most one STUN and one TURN server.

    aiortc uses the first of each kind and silently ignores the rest, so a second one is refused here.  Without an
    explicit list it would use a public STUN server, which a private installation must not do.

    Args:
        urls: e.g. "stun:stun.example:3478", "turn:turn.example?transport=udp".
        username: for the TURN server.
        credential: for the TURN server.

    Raises:
        ValueError: a URL is not valid, there are two of a kind, or a TURN server has no credentials.
    """

    urls: Sequence[str] = ()
    username: str = ""
    credential: str = ""

    def __post_init__(self) -> None:
        seen: dict[str, str] = {}
        for url in self.urls:
            found = _URL.fullmatch(url)
            if not found:
                raise ValueError(f"{url!r} is not a valid stun:, turn: or turns: URL")
            scheme, transport = found["scheme"], found["transport"]
            if (scheme, transport) in (("stun", "udp"), ("stun", "tcp"), ("turns", "udp")):
                raise ValueError(f"{url!r}: {scheme}: does not support transport={transport}")
            kind = "stun" if scheme == "stun" else "turn"
            if kind in seen:
                raise ValueError(f"{seen[kind]!r} and {url!r}: only one {kind.upper()} server can be used")
            seen[kind] = url
        if "turn" in seen and not (self.username and self.credential):
            raise ValueError(f"{seen['turn']!r} needs a user name and a credential")

    def for_browser(self) -> list[dict[str, Any]]:
        """Returns the list of RTCIceServer dictionaries for the page."""
        return [
            {"urls": url}
            if url.startswith("stun")
            else {"urls": url, "username": self.username, "credential": self.credential}
            for url in self.urls
        ]

    @property
    def secret(self) -> bool:
        """Whether `for_browser` contains a credential."""
        return any(url.startswith("turn") for url in self.urls)
