"""HTTP of the gateway: the page, the offer, health, readiness and metrics."""

from __future__ import annotations

import asyncio
import json
import mimetypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import structlog
from aiohttp import hdrs, web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from oviya.errors import InvalidInput, OviyaError
from services.gateway.client_address import ClientAddresses
from services.gateway.conversation.requests import check_session_id
from services.gateway.ice_servers import IceServers
from services.gateway.transport.http.connections import SERVER_LOG, Connections, HttpLimits
from services.gateway.transport.http.errors import RequestTooSlow, errors_as_json
from services.gateway.transport.http.security import (
    AllowedHosts,
    allow_hosts,
    allow_origins,
    check_token,
    has_token,
    security_headers,
)

log = structlog.get_logger()

PAGE = Path(__file__).parents[2] / "page"
"""The page's files: index.html is served at /, all others below /page/."""
EVERYWHERE = ("0.0.0.0", "::")
"""Addresses that stand for all of this machine's."""
SHUTDOWN_S = 5.0
"""Time in seconds that running requests get when the server stops; an offer is answered in less."""
LINGER_S = 2.0
"""Time in seconds that a client gets to end a request that has been answered already."""
_JSON_OVERHEAD_BYTES = 4096
_CONTENT_TYPES = {
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}  # not the machine's opinion


class ReadinessReport(Protocol):
    """What /readyz asks."""

    def report(self) -> dict[str, Any]:
        """Returns what is there and what is missing; `ready` says whether a conversation can be held."""
        ...


class OfferHandler(Protocol):
    """What /offer asks; `webrtc.Peers` is one."""

    ice_servers: IceServers

    async def answer(self, sdp: str, session_id: str = "", resume_token: str = "", *, client: str = "") -> str:
        """Returns the SDP answer to an offer of `client`; an earlier session that is named goes on."""
        ...


class GatewayApp:
    """The handlers.

    Args:
        peers: connects browsers.
        readiness: says what is there.
        token: bearer token that /offer and /metrics ask for, and the details of /readyz; empty: none.
        origins: further origins whose pages may use the gateway.
        hosts: further names by which the gateway is reached.
        clients: names the clients for limits by client.
        metrics: whether /metrics is served.
        max_sdp_bytes: largest offer.
        body_s: time in seconds that a request's body may take.
    """

    def __init__(
        self,
        peers: OfferHandler,
        readiness: ReadinessReport,
        *,
        token: str = "",
        origins: list[str],
        hosts: Sequence[str] = (),
        clients: ClientAddresses | None = None,
        metrics: bool = True,
        max_sdp_bytes: int,
        body_s: float = HttpLimits.body_s,
    ) -> None:
        self._peers = peers
        self._readiness = readiness
        self._token = token
        self._origins = frozenset(origin.rstrip("/") for origin in origins)
        self._hosts = AllowedHosts(hosts)
        self._clients = clients or ClientAddresses()
        self._serves_metrics = metrics
        self._body_s = body_s
        self._max_body_bytes = 2 * max_sdp_bytes + _JSON_OVERHEAD_BYTES  # line ends take twice as much in JSON

    def app(self) -> web.Application:
        """Builds the application."""
        files = _page_files()
        # By another name there is only what is the same for everybody; /readyz then tells no details.
        public = {"/healthz", "/readyz", *files}
        app = web.Application(
            middlewares=[
                security_headers,
                allow_hosts(self._hosts, public),
                allow_origins(self._origins),
                errors_as_json,
            ],
            client_max_size=self._max_body_bytes,
        )
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        if self._serves_metrics:
            app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/config.json", self._config)
        app.router.add_post("/offer", self._offer)
        for path, file in files.items():
            app.router.add_get(path, _file_handler(file))
        return app

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _readyz(self, request: web.Request) -> web.Response:
        report = self._readiness.report()
        own_host = all(map(self._hosts.allow, request.headers.getall(hdrs.HOST, [])))
        if not (own_host and has_token(request, self._token)):
            report = {"ready": report["ready"]}
        return web.json_response(report, status=200 if report["ready"] else 503, headers={"Cache-Control": "no-store"})

    async def _metrics(self, request: web.Request) -> web.Response:
        check_token(request, self._token)
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _config(self, request: web.Request) -> web.Response:
        """What the page must know before it can make an offer."""
        servers = self._peers.ice_servers
        if servers.secret:
            check_token(request, self._token)
        config = {"iceServers": servers.for_browser(), "tokenRequired": bool(self._token)}
        return web.json_response(config, headers={"Cache-Control": "no-store"})

    async def _offer(self, request: web.Request) -> web.Response:
        check_token(request, self._token)
        offer = await self._read_json(request)
        for field in ("sdp", "type"):
            if not isinstance(offer.get(field), str):
                raise InvalidInput(field, offer.get(field), "must be a string")
        if offer["type"] != "offer":
            raise InvalidInput("type", offer["type"], 'must be "offer"')
        session_id = offer.get("session", "")
        if not isinstance(session_id, str):
            raise InvalidInput("session", session_id, "must be a string")
        if session_id:
            check_session_id(session_id, "session")
        resume_token = offer.get("resumeToken", "")
        if not isinstance(resume_token, str):
            raise InvalidInput("resumeToken", type(resume_token).__name__, "must be a string")
        client = self._clients.name(request.remote or "", request.headers.getall(hdrs.X_FORWARDED_FOR, []))
        answer = await self._peers.answer(offer["sdp"], session_id, resume_token, client=client)
        return web.json_response({"sdp": answer, "type": "answer"}, headers={"Cache-Control": "no-store"})

    async def _read_json(self, request: web.Request) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self._body_s):
                body = await request.read()
        except TimeoutError as error:
            raise RequestTooSlow(f"the body did not come within {self._body_s:g} s") from error
        except web.HTTPRequestEntityTooLarge as error:
            size = request.content_length or f"more than {self._max_body_bytes}"
            raise InvalidInput("body", f"{size} bytes", f"at most {self._max_body_bytes} bytes") from error
        try:
            content = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise InvalidInput("body", body[:100].decode("utf-8", "replace"), "must be JSON") from error
        if not isinstance(content, dict):
            raise InvalidInput("body", type(content).__name__, "must be a JSON object with sdp and type")
        return content


class HttpServer:
    """Serves an application.

    Args:
        app: what to serve.
        host: address to listen on.
        port: 0 takes a free one.
        limits: bounds on its connections.
        clients: tells trusted proxies apart.
    """

    def __init__(
        self,
        app: web.Application,
        host: str,
        port: int,
        *,
        limits: HttpLimits | None = None,
        clients: ClientAddresses | None = None,
    ) -> None:
        limits = limits or HttpLimits()
        self._connections = Connections(limits, clients or ClientAddresses())
        app.middlewares.insert(0, self._connections.middleware())
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=SERVER_LOG,
            shutdown_timeout=SHUTDOWN_S,
            keepalive_timeout=limits.keepalive_s,
            lingering_time=LINGER_S,
        )
        self._listener: asyncio.Server | None = None
        self._host = host
        self.port = port

    async def start(self) -> None:
        """Listens; `port` is the real one from now on.

        Raises:
            OviyaError: the address cannot be had.
        """
        await self._runner.setup()
        self._connections.inner = self._runner.server
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(self._connections, self._host, self.port)
        except OSError as error:
            await self._runner.cleanup()
            raise OviyaError(
                f"cannot listen on {self._host}:{self.port}", hint=f"set another GATEWAY_HTTP_PORT: {error.strerror}"
            ) from error
        self.port = self._listener.sockets[0].getsockname()[1]
        host = "localhost" if self._host in EVERYWHERE else self._host  # no browser gives 0.0.0.0 the microphone
        log.info("page", url=f"http://{host}:{self.port}/")

    async def close(self) -> None:
        """Stops listening and lets running requests finish."""
        if self._listener is not None:
            self._listener.close()
        await self._runner.cleanup()


def _page_files() -> dict[str, Path]:
    """Lists the page's files by path: only what is listed can be had."""
    files = {f"/page/{file.relative_to(PAGE).as_posix()}": file for file in PAGE.rglob("*") if file.is_file()}
    return {"/": PAGE / "index.html", **files}


def _file_handler(file: Path) -> Any:
    content_type = _CONTENT_TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"

    def read(known: set[str]) -> tuple[str, bytes | None]:
        """Returns the file's tag, and its content unless it is `known` by that tag."""
        status = file.stat()
        tag = f"{status.st_mtime_ns:x}-{status.st_size:x}"
        return tag, None if known & {tag, "*"} else file.read_bytes()

    async def serve(request: web.Request) -> web.Response:
        # Not FileResponse: it uses sendfile, which asyncio leaves pending for ever when the connection is closed.
        tag, content = read({known.value for known in request.if_none_match or ()})
        # no-cache: the browser asks each time whether it changed, so that an update shows at once
        headers = {"ETag": f'"{tag}"', "Cache-Control": "no-cache"}
        if content is None:
            return web.Response(status=304, headers=headers)
        return web.Response(body=content, headers={"Content-Type": content_type, **headers})

    return serve
