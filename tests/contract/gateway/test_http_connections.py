"""HTTP connections that are slow on purpose: raw sockets against a real server with short time-outs."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest

from services.gateway.settings import GatewaySettings
from services.gateway.transport.http.app import LINGER_S, GatewayApp, HttpServer
from tests.contract.gateway.test_http import FakePeers, FakeReadiness

PATIENCE_S = 20.0
SHORT = {"http_header_s": 0.3, "http_body_s": 0.3, "http_request_s": 0.6, "http_keepalive_s": 0.3}
OFFER = b"POST /offer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Waiting(FakePeers):
    """Answers no offer until it is told to."""

    def __init__(self):
        super().__init__()
        self.release = asyncio.Event()

    async def answer(self, sdp, session_id="", resume_token="", *, client=""):
        await self.release.wait()
        return await super().answer(sdp, session_id, resume_token, client=client)


@asynccontextmanager
async def served(limits=SHORT, peers=None, proxies=()):
    settings = GatewaySettings(http_port=0, trusted_proxies=list(proxies), **limits)
    server = HttpServer(GatewayApp(peers or FakePeers(), FakeReadiness(), settings).app(), settings)
    await server.start()
    try:
        yield server
    finally:
        await server.close()


class Client:
    """A raw connection."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    def pause_reading(self):
        """Stops taking what the server sends."""
        self.writer.transport.pause_reading()

    async def until_closed(self):
        """Returns what comes until the server closes; fails where it does not."""
        received = b""
        async with asyncio.timeout(PATIENCE_S):
            with suppress(ConnectionError):
                while piece := await self.reader.read(65_536):
                    received += piece
        return received

    async def trickle(self, data, pause_s):
        """Sends byte by byte until the server has closed."""
        with suppress(ConnectionError):
            for byte in data:
                if self.writer.is_closing():
                    return
                self.writer.write(bytes([byte]))
                await self.writer.drain()
                await asyncio.sleep(pause_s)


@asynccontextmanager
async def connected(server):
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize(
    "sent",
    [b"", b"G", b"GET / HT", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Half: ", OFFER[:-2]],
    ids=["nothing", "a byte", "a line", "headers", "all but the end"],
)
async def test_half_a_header_is_not_waited_for(sent):
    async with served() as server, connected(server) as client:
        client.writer.write(sent)
        assert await client.until_closed() == b""


async def test_a_header_that_trickles_is_not_waited_for():
    async with served() as server, connected(server) as client:
        trickling = asyncio.ensure_future(client.trickle(b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 10_000, 0.01))
        assert await client.until_closed() == b""
        trickling.cancel()
        await asyncio.gather(trickling, return_exceptions=True)


async def test_half_a_header_after_a_request_is_not_waited_for():
    async with served({"http_header_s": 0.3, "http_keepalive_s": 600}) as server, connected(server) as client:
        client.writer.write(HEALTH)
        assert (await client.reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(0.6)  # idle, which is allowed
        client.writer.write(HEALTH)
        assert (await client.reader.readuntil(b"}")).endswith(b'{"status": "ok"}')
        client.writer.write(b"GET / HT")
        assert await client.until_closed() == b""


@pytest.mark.parametrize("sent", [b"", b'{"sdp": "'], ids=["nothing", "a half"])
@pytest.mark.parametrize("chunked", [False, True])
async def test_half_a_body_is_answered_with_408(sent, chunked):
    head = OFFER
    if chunked:
        head = head.replace(b"Content-Length: 100", b"Transfer-Encoding: chunked")
        sent = b"%x\r\n%s\r\n" % (len(sent), sent) if sent else b""
    async with served({"http_body_s": 0.3}) as server, connected(server) as client:
        client.writer.write(head + sent)
        answer = await client.until_closed()
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"RequestTooSlow" in answer


async def test_a_body_that_trickles_is_not_waited_for():
    async with served({"http_body_s": 0.3}) as server, connected(server) as client:
        head = OFFER.replace(b"100", b"100000")
        client.writer.write(head)
        trickling = asyncio.ensure_future(client.trickle(b" " * 100_000, 0.01))
        assert (await client.until_closed()).startswith(b"HTTP/1.1 408")
        trickling.cancel()
        await asyncio.gather(trickling, return_exceptions=True)


@pytest.mark.parametrize("path", [b"/", b"/nothing", b"/readyz", b"/page/css/frame.css"])
async def test_half_a_body_that_nobody_wants_does_not_hold_the_connection(path):
    loop = asyncio.get_running_loop()
    async with served({}) as server, connected(server) as client:
        since = loop.time()
        client.writer.write(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
        assert (await client.until_closed()).startswith(b"HTTP/1.1 ")
        assert loop.time() - since < LINGER_S + 5


async def test_an_idle_connection_is_closed():
    async with served() as server, connected(server) as client:
        client.writer.write(HEALTH)
        answer = await client.until_closed()
        assert answer.startswith(b"HTTP/1.1 200")


async def test_a_request_that_is_not_answered_in_time_is_cut():
    peers = Waiting()
    body = b'{"sdp": "v=0", "type": "offer"}'
    async with served(peers=peers) as server, connected(server) as client:
        client.writer.write(OFFER.replace(b"100", b"%d" % len(body)) + body)
        assert await client.until_closed() == b""
        peers.release.set()


async def test_a_client_that_reads_nothing_is_cut():
    async with served() as server, connected(server) as client:
        client.pause_reading()
        with suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE_S):
                while not client.writer.is_closing():
                    client.writer.write(b"GET /page/js/app.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)
                    await client.writer.drain()
                    await asyncio.sleep(0.02)


async def test_one_client_s_connections_are_limited():
    async with served({"http_max_connections_per_client": 2}) as server, connected(server) as one:
        async with connected(server) as two:
            for client in (one, two):
                client.writer.write(HEALTH)
                assert (await client.reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
            async with connected(server) as three:
                assert (await three.until_closed()).startswith(b"HTTP/1.1 503")
            one.writer.write(HEALTH)
            assert (await one.reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(0.1)
        async with connected(server) as four:
            four.writer.write(HEALTH)
            assert (await four.reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")


async def test_connections_through_a_trusted_proxy_are_limited_in_total_only():
    limits = {"http_max_connections": 2, "http_max_connections_per_client": 1}
    async with (
        served(limits, proxies=["127.0.0.0/8"]) as server,
        connected(server) as one,
        connected(server) as two,
    ):
        for client in (one, two):
            client.writer.write(HEALTH)
            assert (await client.reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
        async with connected(server) as three:
            assert (await three.until_closed()).startswith(b"HTTP/1.1 503")


async def test_slow_connections_do_not_hold_up_the_stop():
    async with served({}) as server, connected(server) as client, connected(server) as idle:
        client.writer.write(b"GET / HT")
        idle.writer.write(HEALTH)
        await idle.reader.readuntil(b"}")
        async with asyncio.timeout(PATIENCE_S):
            await server.close()
