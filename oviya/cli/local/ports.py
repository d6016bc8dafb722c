"""TCP ports of this machine: which are free, and which process listens on one."""

from __future__ import annotations

import random
import socket

import psutil

LOOPBACK = "127.0.0.1"
# Below the ephemeral range (from 32768 on Linux, from 49152 elsewhere), so that no outgoing connection takes a port
# between its choice and its use.
_FREE_FROM, _FREE_TO = 20_000, 32_000


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on `host`:`port`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ignore connections in TIME_WAIT
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
    """Describes the process that listens on a port; empty if the system does not tell this user."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:  # macOS requires root
        return ""
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:  # pyright: ignore
            try:
                command = " ".join(psutil.Process(connection.pid).cmdline())
            except psutil.Error:
                command = ""
            return f"process {connection.pid} ({command[:80]})" if command else f"process {connection.pid}"
    return ""
