"""How the client reaches a server and reads its streams."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeVar

import grpc
import grpc.aio

from oviya.errors import Timeout
from oviya.status import error_from_rpc

STALL_TIMEOUT_S = 60.0
"""Longest wait for the next message while the server owes one: twice its own longest step, so it answers first."""

OPTIONS: tuple[tuple[str, Any], ...] = (
    # Proxies drop idle connections after a few minutes; servers refuse pings more often than once a minute.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # The default first back-off of one second would make a client that starts beside its server look broken.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)

LOCAL_SUFFIXES = (".local", ".localhost", ".internal", ".lan")
"""Ends of names that are not of the internet (RFC 6761, RFC 6762, ICANN's reserved .internal)."""

Request = TypeVar("Request")
Message = TypeVar("Message")
Event = TypeVar("Event")


def channel_options(address: str, use_proxy: bool | None) -> tuple[tuple[str, Any], ...]:
    """Returns the options of a channel to `address`.

    Args:
        address: host:port, or a gRPC target.
        use_proxy: whether to go through the proxy that http_proxy, https_proxy or grpc_proxy names; None: only where
            the host is not on this machine or in a private network.
    """
    through_proxy = not is_local(address) if use_proxy is None else use_proxy
    return (*OPTIONS, ("grpc.enable_http_proxy", int(through_proxy)))


def is_local(address: str) -> bool:
    """Whether `address` is on this machine or in a private network: by its IP address, or a name without a domain."""
    if address.startswith("unix"):
        return True
    target = address.rpartition("/")[2]
    host = target.removeprefix("dns:").removeprefix("ipv4:").removeprefix("ipv6:")
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.lower().rstrip(".").endswith(LOCAL_SUFFIXES)
    return found.is_loopback or found.is_private or found.is_link_local


async def read_events(
    call: grpc.aio.UnaryStreamCall[Request, Message] | grpc.aio.StreamStreamCall[Request, Message],
    read: Callable[[Message], Event | None],
    service: str,
    stall_s: float | None,
) -> AsyncGenerator[Event, None]:
    """Yields what `read` makes of each message, passing over None, and cancels the call when the reader leaves.

    Args:
        call: a running streaming call.
        read: message to event.
        service: name of the service that was called, for errors.
        stall_s: longest wait for the next message; None waits for ever.

    Raises:
        Timeout: no message came for `stall_s`.
        OviyaError: what the server refused or failed at.
    """
    try:
        while True:
            async with asyncio.timeout(stall_s):
                message = await call.read()
            if message is grpc.aio.EOF:
                return
            event = read(message)  # pyright: ignore[reportArgumentType]  (the stubs cannot tell EOF from a message)
            if event is not None:
                yield event
    except TimeoutError as error:
        raise Timeout(f"{service}: no answer for {stall_s} s", hint=f"see the log of {service}") from error
    except grpc.RpcError as error:
        raise error_from_rpc(error, service) from error
    finally:
        call.cancel()
