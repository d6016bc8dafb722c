"""Ports for tests, none of which a connection or a server on port 0 gets by accident."""

from __future__ import annotations

import random
import socket

from oviya.cli.local.ports import LOOPBACK, free_ports


def free_port() -> int:
    """Returns a TCP port that nothing listens on."""
    return free_ports(1)[0]


def free_range(count: int) -> tuple[int, int]:
    """Returns the first and the last of `count` UDP ports in a row that are all free."""
    for _ in range(1_000):
        first = random.randrange(20_000, 32_000 - count)
        held: list[socket.socket] = []
        try:
            for port in range(first, first + count):
                held.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                held[-1].bind((LOOPBACK, port))
        except OSError:
            continue
        finally:
            for one in held:
                one.close()
        return first, first + count - 1
    raise AssertionError("no free ports")
