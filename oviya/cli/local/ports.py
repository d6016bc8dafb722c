"""TCP ports of this machine: whether one is free, and who has it."""

from __future__ import annotations

import random
import socket

import psutil

LOOPBACK = "127.0.0.1"
# Below the range that systems take outgoing connections' ports from (Linux: 32768 up, others: 49152 up), so that none
# of those takes a port between its choice and its use.
_FREE_FROM, _FREE_TO = 20_000, 32_000


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Says whether a server could listen on `host`:`port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that just ended are no obstacle
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Returns `count` different free ports."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(_FREE_FROM, _FREE_TO)
        if port not in ports and is_free(port):
            ports.append(port)
    return ports


def owner_of(port: int) -> str:
    """Says which process listens on a port, as far as the system tells this user; else empty."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:  # macOS tells only the superuser
        return ""
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:  # pyright: ignore
            try:
                command = " ".join(psutil.Process(connection.pid).cmdline())
            except psutil.Error:
                command = ""
            return f"process {connection.pid} ({command[:80]})" if command else f"process {connection.pid}"
    return ""
