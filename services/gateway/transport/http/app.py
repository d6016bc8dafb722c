"""The gateway's HTTP application: the page, offers, health, readiness and metrics."""

from __future__ import annotations

import asyncio
import json
import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import structlog
from aiohttp import hdrs, web
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from oviya.errors import InvalidInput, OviyaError
from services.gateway.client_address import ClientAddresses
from services.gateway.conversation.requests import check_session_id
from services.gateway.ice_servers import IceServers
from services.gateway.settings import GatewaySettings
from services.gateway.transport.http.connections import SERVER_LOG, Connections
from services.gateway.transport.http.emotions import emotion_map
from services.gateway.transport.http.errors import RequestTooSlow, errors_as_json
from services.gateway.transport.http.security import (
    AllowedHosts,
    allow_hosts,
    allow_origins,
    check_token,
    has_token,
    own_names,
    security_headers,
)

log = structlog.get_logger()

PAGE = Path(__file__).parents[2] / "page"
"""The page's files: index.html is served at /, all others below /page/."""
EVERYWHERE = ("0.0.0.0", "::")
"""Addresses that mean all interfaces."""
SHUTDOWN_S = 5.0
"""Seconds that running requests get when the server stops; answering an offer takes less."""
LINGER_S = 2.0
"""Seconds that a client gets to finish sending a request that was answered already."""
_JSON_OVERHEAD_BYTES = 4096
# independent of the machine's configuration
_CONTENT_TYPES = {".js": "text/javascript", ".svg": "image/svg+xml", ".woff2": "font/woff2"}


class ReadinessReport(Protocol):
    """Source of /readyz."""

    def report(self) -> dict[str, Any]:
        """Returns the state of the services; `ready` is whether a conversation can be held."""
        ...


class OfferHandler(Protocol):
    """Answers offers; `webrtc.Peers` implements it."""

    ice_servers: IceServers

    async def answer(self, sdp: str, session_id: str = "", resume_token: str = "", *, client: str = "") -> str:
        """Returns the SDP answer to an offer of `client`; `session_id` names a session to resume."""
        ...


@dataclass
class GatewayApp:
    """The request handlers."""

    peers: OfferHandler
    readiness: ReadinessReport
    settings: GatewaySettings

    def __post_init__(self) -> None:
        settings = self.settings
        self._token = settings.http_token.get_secret_value()
        self._hosts = AllowedHosts([*settings.http_hosts, *own_names(settings.http_host)])
        self._clients = ClientAddresses(settings.trusted_proxies)
        # a line end takes twice as many bytes in JSON
        self._max_body_bytes = 2 * settings.max_sdp_bytes + _JSON_OVERHEAD_BYTES
        self._emotion_map = emotion_map()

    def app(self) -> web.Application:
        """Builds the application."""
        files = _page_files()
        # Under another host name, only content that is the same for everybody is served; /readyz then has no details.
        public = {"/healthz", "/readyz", "/emotions.json", *files}
        origins = {origin.rstrip("/") for origin in self.settings.http_origins}
        app = web.Application(
            middlewares=[security_headers, allow_hosts(self._hosts, public), allow_origins(origins), errors_as_json],
            client_max_size=self._max_body_bytes,
        )
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        if self.settings.http_metrics:
            app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/config.json", self._config)
        app.router.add_get("/emotions.json", self._emotions)
        app.router.add_post("/offer", self._offer)
        for path, file in files.items():
            app.router.add_get(path, _file_handler(file))
        return app

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _readyz(self, request: web.Request) -> web.Response:
        report = self.readiness.report()
        own_host = all(map(self._hosts.allow, request.headers.getall(hdrs.HOST, [])))
        if not (own_host and has_token(request, self._token)):
            report = {"ready": report["ready"]}
        return web.json_response(report, status=200 if report["ready"] else 503, headers={"Cache-Control": "no-store"})

    async def _metrics(self, request: web.Request) -> web.Response:
        check_token(request, self._token)
        encode, content_type = choose_encoder(request.headers.get(hdrs.ACCEPT, ""))  # OpenMetrics holds exemplars
        return web.Response(body=encode(REGISTRY), headers={"Content-Type": content_type})

    async def _config(self, request: web.Request) -> web.Response:
        """Returns what the page needs to create an offer."""
        servers = self.peers.ice_servers
        if servers.secret:
            check_token(request, self._token)
        config = {"iceServers": servers.for_browser(), "tokenRequired": bool(self._token)}
        return web.json_response(config, headers={"Cache-Control": "no-store"})

    async def _emotions(self, _request: web.Request) -> web.Response:
        """Returns the emotions and their places on the page's map."""
        return web.json_response(self._emotion_map, headers={"Cache-Control": "no-cache"})

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
        answer = await self.peers.answer(offer["sdp"], session_id, resume_token, client=client)
        return web.json_response({"sdp": answer, "type": "answer"}, headers={"Cache-Control": "no-store"})

    async def _read_json(self, request: web.Request) -> dict[str, Any]:
        within_s = self.settings.http_body_s
        try:
            async with asyncio.timeout(within_s):
                body = await request.read()
        except TimeoutError as error:
            raise RequestTooSlow(f"the body did not come within {within_s:g} s") from error
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
    """Serves an application at the address of the settings, within their limits.

    Attributes:
        port: port to listen on; after `start`, the actual one.
    """

    def __init__(self, app: web.Application, settings: GatewaySettings) -> None:
        self._connections = Connections(settings)
        app.middlewares.insert(0, self._connections.middleware())
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=SERVER_LOG,
            shutdown_timeout=SHUTDOWN_S,
            keepalive_timeout=settings.http_keepalive_s,
            lingering_time=LINGER_S,
        )
        self._listener: asyncio.Server | None = None
        self._host, self.port = settings.http_host, settings.http_port

    async def start(self) -> None:
        """Starts to listen.

        Raises:
            OviyaError: the address cannot be bound.
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
        # browsers refuse the microphone to pages on 0.0.0.0
        host = "localhost" if self._host in EVERYWHERE else self._host
        log.info("page", url=f"http://{host}:{self.port}/")

    async def close(self) -> None:
        """Stops listening and waits for running requests."""
        if self._listener is not None:
            self._listener.close()
        await self._runner.cleanup()


def _page_files() -> dict[str, Path]:
    """Returns the page's files by path; nothing else is served."""
    files = {f"/page/{file.relative_to(PAGE).as_posix()}": file for file in PAGE.rglob("*") if file.is_file()}
    return {"/": PAGE / "index.html", **files}


def _file_handler(file: Path) -> Any:
    content_type = _CONTENT_TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"

    def read(known: set[str]) -> tuple[str, bytes | None]:
        """Returns the file's tag, and its content unless the tag is in `known`."""
        status = file.stat()
        tag = f"{status.st_mtime_ns:x}-{status.st_size:x}"
        return tag, None if known & {tag, "*"} else file.read_bytes()

    async def serve(request: web.Request) -> web.Response:
        # Not FileResponse: it uses sendfile, which asyncio leaves pending forever when the connection is closed.
        tag, content = read({known.value for known in request.if_none_match or ()})
        # no-cache: the browser revalidates the file each time and shows an update at once
        headers = {"ETag": f'"{tag}"', "Cache-Control": "no-cache"}
        if content is None:
            return web.Response(status=304, headers=headers)
        return web.Response(body=content, headers={"Content-Type": content_type, **headers})

    return serve
