"""The gateway over HTTP: a real server on a free port."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager

import aiohttp
import pytest
from pydantic import SecretStr

from oviya.emotions.tables import load_emotions
from oviya.errors import Busy, InvalidInput, NotReady, OviyaError, PermissionDenied, Timeout, Unavailable
from oviya.mesh.turn_id import exemplar, turn_scope
from services.gateway import metrics
from services.gateway.ice_servers import IceServers
from services.gateway.settings import GatewaySettings
from services.gateway.transport.http.app import PAGE, GatewayApp, HttpServer
from services.gateway.transport.http.security import HEADERS
from services.gateway.transport.webrtc.peers import Peers
from tests.support.echo_conversation import Echo, open_web
from tests.support.waiting import PATIENCE_S
from tests.support.webrtc_client import browser

REPORT = {"ready": True, "services": {"stt": {"state": "serving"}}, "voice": {"name": "csm", "reason": ""}}
OFFER = {"sdp": "v=0", "type": "offer"}


class FakePeers:
    """Answers each offer with "answer to" it, or fails as told."""

    def __init__(self, ice_servers=None):
        self.ice_servers = ice_servers or IceServers()
        self.failure: Exception | None = None
        self.offers = []
        self.sessions = []
        self.clients = []

    async def answer(self, sdp, session_id="", resume_token="", *, client=""):
        self.clients.append(client)
        if self.failure:
            raise self.failure
        self.offers.append(sdp)
        self.sessions.append((session_id, resume_token))
        return f"answer to {sdp}"


class FakeReadiness:
    def __init__(self):
        self.ready = True

    def report(self):
        return {**REPORT, "ready": self.ready}


class Served:
    def __init__(self, session, peers, readiness, base):
        self.session, self.peers, self.readiness, self.base = session, peers, readiness, base

    async def offer(self, body=OFFER, **options):
        """Posts an offer; returns status, JSON and headers."""
        data = body if isinstance(body, (str, bytes)) else json.dumps(body)
        async with self.session.post("/offer", data=data, **options) as response:
            return response.status, await response.json(), response.headers


@asynccontextmanager
async def served(ice_servers=None, **options):
    peers, readiness = FakePeers(ice_servers), FakeReadiness()
    settings = GatewaySettings(http_port=0, **options)
    server = HttpServer(GatewayApp(peers, readiness, settings).app(), settings)
    await server.start()
    base = f"http://127.0.0.1:{server.port}"
    try:
        async with aiohttp.ClientSession(base) as session:
            yield Served(session, peers, readiness, base)
    finally:
        await server.close()


async def test_an_offer_may_name_the_session_to_go_on_with():
    async with served() as gateway:
        assert (await gateway.offer({**OFFER, "session": "abc", "resumeToken": "secret"}))[0] == 200
        assert (await gateway.offer())[0] == 200
        assert gateway.peers.sessions == [("abc", "secret"), ("", "")]
        for bad in (5, "x" * 129, "a\nb"):
            status, body, _ = await gateway.offer({**OFFER, "session": bad})
            assert (status, body["error"]["field"]) == (400, "session")
        status, body, _ = await gateway.offer({**OFFER, "session": "abc", "resumeToken": ["secret"]})
        assert (status, body["error"]["field"]) == (400, "resumeToken")
        assert "secret" not in str(body)


async def test_an_offer_is_answered():
    async with served() as gateway:
        status, body, headers = await gateway.offer()
        assert (status, body) == (200, {"sdp": "answer to v=0", "type": "answer"})
        assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("no json", "body"),
        ("", "body"),
        (b"\xff\xfe", "body"),
        ("[1]", "body"),
        ("null", "body"),
        ("[" * 20_000, "body"),
        ({"type": "offer"}, "sdp"),
        ({"sdp": 5, "type": "offer"}, "sdp"),
        ({"sdp": "v=0"}, "type"),
        ({"sdp": "v=0", "type": "answer"}, "type"),
        ({"sdp": "x" * 200_000, "type": "offer"}, "body"),
    ],
)
async def test_a_body_that_is_no_offer_is_refused_by_field(body, field):
    async with served() as gateway:
        status, answer, _ = await gateway.offer(body)
        assert status == 400
        assert set(answer["error"]) == {"type", "message", "field", "value", "limit", "hint", "suggestions"}
        assert (answer["error"]["type"], answer["error"]["field"]) == ("InvalidInput", field)
        assert answer["error"]["limit"]
        assert not gateway.peers.offers
        assert (await gateway.offer())[0] == 200  # and the next one works


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (InvalidInput("sdp", "x", "must be an SDP offer", suggestions=["y"]), 400),
        (Busy("full", retry_after_s=7.2), 429),
        (PermissionDenied("not yours", hint="send the token"), 403),
        (NotReady("stopping"), 503),
        (Unavailable("stt", "cannot be reached"), 502),
        (Timeout("too late"), 504),
        (OviyaError("odd"), 500),
    ],
)
async def test_typed_errors_have_the_statuses_of_the_mesh(failure, status):
    async with served() as gateway:
        gateway.peers.failure = failure
        got, body, headers = await gateway.offer()
        assert got == status
        assert body["error"]["type"] == type(failure).__name__
        assert str(failure).startswith(body["error"]["message"])
        assert headers.get("Retry-After") == ("7" if isinstance(failure, Busy) else None)
        if isinstance(failure, InvalidInput):
            assert body["error"]["suggestions"] == ["y"]


async def test_what_nobody_foresaw_is_told_without_its_secrets():
    async with served() as gateway:
        gateway.peers.failure = RuntimeError("password")
        status, body, _ = await gateway.offer()
        assert (status, body["error"]["type"]) == (500, "Internal")
        assert "password" not in json.dumps(body)


@pytest.mark.parametrize(("method", "path", "status", "kind"), [
    ("GET", "/nothing", 404, "NotFound"),
    ("GET", "/page/../settings.py", 404, "NotFound"),
    ("GET", "/page/%2e%2e/settings.py", 404, "NotFound"),
    ("GET", "/offer", 405, "MethodNotAllowed"),
    ("DELETE", "/readyz", 405, "MethodNotAllowed"),
])  # fmt: skip
async def test_other_paths_and_methods_answer_in_the_same_shape(method, path, status, kind):
    from yarl import URL

    async with served() as gateway, gateway.session.request(method, URL(gateway.base + path, encoded=True)) as response:
        assert response.status == status
        assert (await response.json())["error"]["type"] == kind


async def test_the_token_is_asked_for_where_one_is_set():
    async with served(http_token="s3cret") as gateway:
        for given in (None, "Bearer wrong", "s3cret", "Basic s3cret"):
            headers = {"Authorization": given} if given else {}
            status, body, answer_headers = await gateway.offer(headers=headers)
            assert (status, body["error"]["type"]) == (401, "Unauthenticated")
            assert answer_headers["WWW-Authenticate"] == "Bearer"
            assert "s3cret" not in json.dumps(body)
        assert not gateway.peers.offers
        assert (await gateway.offer(headers={"Authorization": "Bearer s3cret"}))[0] == 200
        async with gateway.session.get("/readyz") as response:  # probes need none
            assert response.status == 200


async def test_only_the_own_page_and_allowed_origins_may_offer():
    async with served(http_origins=["https://talk.example/"]) as gateway:
        for origin in ("https://evil.example", "null", "http://127.0.0.1:1", "https://talk.example.evil.example"):
            status, body, headers = await gateway.offer(headers={"Origin": origin})
            assert (status, body["error"]["type"]) == (403, "OriginRefused")
            assert "Access-Control-Allow-Origin" not in headers
        assert not gateway.peers.offers
        assert (await gateway.offer(headers={"Origin": gateway.base}))[0] == 200
        status, _, headers = await gateway.offer(headers={"Origin": "https://talk.example"})
        assert (status, headers["Access-Control-Allow-Origin"]) == (200, "https://talk.example")


async def test_an_allowed_origin_reads_refusals_too_and_gets_its_preflight():
    async with served(http_origins=["https://talk.example"], http_token="t") as gateway:
        status, _, headers = await gateway.offer(headers={"Origin": "https://talk.example"})
        assert (status, headers["Access-Control-Allow-Origin"]) == (401, "https://talk.example")
        preflight = {"Origin": "https://talk.example", "Access-Control-Request-Method": "POST"}
        async with gateway.session.options("/offer", headers=preflight) as response:
            assert response.status == 204
            assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
        preflight["Origin"] = "https://evil.example"
        async with gateway.session.options("/offer", headers=preflight) as response:
            assert response.status == 403


async def test_health_and_readiness():
    async with served() as gateway:
        async with gateway.session.get("/healthz") as response:
            assert (response.status, await response.json()) == (200, {"status": "ok"})
        async with gateway.session.get("/readyz") as response:
            assert (response.status, await response.json()) == (200, REPORT)
        gateway.readiness.ready = False
        async with gateway.session.get("/readyz") as response:
            assert response.status == 503
            assert (await response.json())["services"] == REPORT["services"]
        async with gateway.session.get("/healthz") as response:  # not ready is no reason to be restarted
            assert response.status == 200


async def test_metrics_are_prometheus_text():
    async with served() as gateway, gateway.session.get("/metrics") as response:
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        text = await response.text()
    assert "oviya_gateway_peers_open " in text
    assert "oviya_gateway_playout_underruns_total" in text


async def test_metrics_name_turns_to_scrapers_that_understand_exemplars():
    with turn_scope("0123456789ab"):
        metrics.STAGE_SECONDS.labels("first_audio").observe(0.4, exemplar=exemplar())
    async with served() as gateway:
        accept = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}
        async with gateway.session.get("/metrics", headers=accept) as response:
            assert response.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
            text = await response.text()
        assert text.endswith("# EOF\n")
        assert '# {turn_id="0123456789ab"} 0.4' in text
        async with gateway.session.get("/metrics") as response:
            assert "turn_id" not in await response.text()


async def test_the_page_and_all_its_files_are_served():
    types = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    files = [file for file in PAGE.rglob("*") if file.is_file()]
    assert files
    async with served() as gateway:
        for file in files:
            async with gateway.session.get(f"/page/{file.relative_to(PAGE).as_posix()}") as response:
                assert (response.status, await response.read()) == (200, file.read_bytes())
                assert response.headers["Content-Type"].split(";")[0] == types[file.suffix]
        async with gateway.session.get("/") as response:
            assert await response.read() == (PAGE / "index.html").read_bytes()
            tag = response.headers["ETag"]
        async with gateway.session.get("/", headers={"If-None-Match": tag}) as response:
            assert response.status == 304


async def test_every_answer_carries_the_security_headers():
    async with served(http_token="t") as gateway:
        for path in ("/", "/readyz", "/nothing", "/page/css/frame.css"):
            async with gateway.session.get(path) as response:
                assert {name: response.headers[name] for name in HEADERS} == HEADERS
        assert {name: (await gateway.offer())[2][name] for name in HEADERS} == HEADERS
    policy = HEADERS["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy


async def test_the_page_learns_the_ice_servers_and_secrets_need_the_token():
    async with (
        served(IceServers(["stun:stun.example"]), http_token="t") as gateway,
        gateway.session.get("/config.json") as response,
    ):
        assert await response.json() == {"iceServers": [{"urls": "stun:stun.example"}], "tokenRequired": True}
    async with served(IceServers(["turn:turn.example"], "user", "pw"), http_token="t") as gateway:
        async with gateway.session.get("/config.json") as response:
            assert response.status == 401
        async with gateway.session.get("/config.json", headers={"Authorization": "Bearer t"}) as response:
            (server,) = (await response.json())["iceServers"]
            assert server == {"urls": "turn:turn.example", "username": "user", "credential": "pw"}


async def test_the_page_learns_where_the_emotions_are_on_its_map():
    async with served(http_token="t") as gateway, gateway.session.get("/emotions.json") as response:
        emotions = (await response.json())["emotions"]
    assert [row["emotion"] for row in emotions] == list(load_emotions())
    assert emotions[0] == {
        "emotion": "calm_supportive",
        "tier": 1,
        "style": "calm",
        "valence": 0.4,
        "arousal": -0.5,
    }


async def test_a_port_that_is_taken_is_one_clear_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = GatewaySettings(http_port=taken.getsockname()[1])
        server = HttpServer(GatewayApp(FakePeers(), FakeReadiness(), settings).app(), settings)
        with pytest.raises(OviyaError, match="cannot listen on"):
            await server.start()


async def test_a_browser_talks_through_http_alone():
    settings = GatewaySettings(http_port=0, ice_bind_addresses=["127.0.0.1"], http_token=SecretStr("t"), max_sessions=1)
    echo = Echo()
    headers = {"Authorization": "Bearer t"}
    async with open_web(echo, FakeReadiness(), settings) as (peers, session), browser() as user, browser() as other:
        body = {"sdp": await user.offer(), "type": "offer"}
        async with session.post("/offer", json=body, headers=headers) as response:
            answer = await response.json()
        assert answer["type"] == "answer"
        await user.connect(answer["sdp"])
        user.send({"text": "hello"})
        assert (await user.event("final"))["final"]["text"] == "hello"
        body = {"sdp": await other.offer(), "type": "offer"}
        async with session.post("/offer", json=body, headers=headers) as response:
            assert response.status == 429
        echo.drain()
        draining = asyncio.ensure_future(peers.drain(PATIENCE_S))
        await user.event("replyEnded")
        await draining
        async with session.post("/offer", json=body, headers=headers) as response:
            assert response.status == 503
        async with session.get("/readyz") as response:  # the page is still there to say so
            assert response.status == 200


def test_the_settings_reach_the_peers():
    settings = GatewaySettings(
        udp_port_min=40_000, udp_port_max=40_099, announced_address="203.0.113.7, 2001:db8::7", webrtc_connect_s=3
    )

    async def build():
        return Peers(Echo(), settings)

    peers = asyncio.run(build())
    assert (peers._policy.port_min, peers._policy.port_max) == (40_000, 40_099)
    assert list(peers._policy.announced_addresses) == ["203.0.113.7", "2001:db8::7"]
    assert peers._settings.webrtc_connect_s == 3
