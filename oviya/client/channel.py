"""The connection to a service, and how its streams are read."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncGenerator, Callable
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
import grpc.aio

from oviya.errors import Timeout
from oviya.status import error_from_rpc

STALL_TIMEOUT_S = 60.0
"""Default of `stall_timeout_s`: twice the server's own longest step, so that the server's error arrives first."""

OPTIONS: tuple[tuple[str, Any], ...] = (
    # Proxies drop idle connections after a few minutes; servers refuse pings more often than once a minute.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # With the default of one second, a client that starts together with its server seems to hang.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)

LOCAL_SUFFIXES = (".local", ".localhost", ".internal", ".lan")
"""Suffixes of names that are not on the internet (RFC 6761, RFC 6762, ICANN's reserved .internal)."""

Request = TypeVar("Request")
Message = TypeVar("Message")
Event = TypeVar("Event")


class AsyncClient:
    """A service, reached over gRPC.  Use it as an async context manager, or call `close`.

    Args:
        address: host:port of the service.
        stall_timeout_s: longest wait for the next message while the service owes one.
        use_proxy: whether to use the proxy of the environment (http_proxy, https_proxy, grpc_proxy); None: only if the
            host is neither this machine nor in a private network.
    """

    def __init__(self, address: str, *, stall_timeout_s: float, use_proxy: bool | None) -> None:
        self.address = address
        self._stall_timeout_s = stall_timeout_s
        self._channel = grpc.aio.insecure_channel(address, options=channel_options(address, use_proxy))

    async def close(self) -> None:
        """Cancels all running calls and closes the connection."""
        await self._channel.close(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def channel_options(address: str, use_proxy: bool | None) -> tuple[tuple[str, Any], ...]:
    """Returns the options of a channel to `address`, a host:port or gRPC target; `use_proxy` as for `AsyncClient`."""
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
    """Yields the event of each message; cancels the call when the iteration ends.

    Args:
        call: a running streaming call.
        read: turns a message into an event, or into None to skip it.
        service: name of the called service, for errors.
        stall_s: longest wait for the next message; None: no limit.

    Raises:
        Timeout: no message arrived within `stall_s`.
        OviyaError: the server refused the call or failed.
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
