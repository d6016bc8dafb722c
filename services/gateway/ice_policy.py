"""The UDP ports and addresses of media."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class IcePolicy:
    """How host candidates are made.

    Args:
        port_min: first UDP port; 0: the system chooses.
        port_max: last UDP port.  Every session takes one port on every bound address.
        bind_addresses: addresses to bind, in order of preference.  Empty: all of this machine's, loopback last
            (without loopback if addresses are announced).
        announced_addresses: addresses that browsers get instead, with the bound port: for ports that are published one
            to one, as `docker run -p 40000-40099:40000-40099/udp` does.  Empty: the bound ones.

    Raises:
        ValueError: the range is empty or only half set, or an address is not an IP address.
    """

    port_min: int = 0
    port_max: int = 0
    bind_addresses: Sequence[str] = ()
    announced_addresses: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.port_min <= self.port_max <= 65_535 or (self.port_min == 0 and self.port_max != 0):
            raise ValueError(f"UDP ports {self.port_min} to {self.port_max} are not a valid range")
        for address in (*self.bind_addresses, *self.announced_addresses):
            ipaddress.ip_address(address)

    @property
    def port_count(self) -> int:
        """UDP ports on each address, each of which serves one session at a time; 0: as many as the system has."""
        return self.port_max - self.port_min + 1 if self.port_min else 0
