"""Who may use the gateway over HTTP: hosts, origins and tokens, whatever bytes they are made of."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
import structlog

from services.gateway.ice_servers import IceServers
from services.gateway.transport.http.security import AllowedHosts, own_names
from services.gateway.transport.webrtc.page_message import read_message
from tests.contract.gateway.test_http import OFFER, REPORT, served

TURN = IceServers(["turn:turn.example"], "user", "turn-password")
TOKEN = "s3cret-marker"


async def raw(gateway, *lines, body=b""):
    """Sends a request as bytes; returns the status, the headers and the body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.base.rpartition(":")[2]))
    try:
        length = b"Content-Length: %d" % len(body)
        writer.write(b"\r\n".join((*lines, length, b"Connection: close", b"", body)))
        async with asyncio.timeout(20):
            head, _, answer = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
        await writer.wait_closed()
    return int(head.split()[1]), head, answer


async def raw_offer(gateway, *headers, host=b"localhost"):
    return await raw(gateway, b"POST /offer HTTP/1.1", b"Host: " + host, *headers, body=json.dumps(OFFER).encode())


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8000", "LOCALHOST", "localhost.", "oviya.localhost:1", "127.0.0.1", "127.0.0.1:8000",
     "[::1]", "[::1]:8000", "192.168.1.7:8000", "203.0.113.7", "[2001:db8::7]:80", "talk.example", "Talk.Example:8443",
     "mybox", "mybox.local:8000"],
)  # fmt: skip
def test_addresses_and_own_names_are_the_gateway_s(host):
    assert AllowedHosts(["talk.example", "mybox", "mybox.local"]).allow(host)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "notlocalhost",
     "talk.example.evil.example", "x.talk.example", "evil.example@127.0.0.1", "127.0.0.1@evil.example", "", " ", "[::1",
     "::1]", "localhost:x", "localhost/evil", "localhost?evil", "2130706433", "0x7f.1", "127.1", "\udcff",
     "localhost\udcff", "evil.example#localhost", "*"],
)  # fmt: skip
def test_any_other_host_is_refused(host):
    assert not AllowedHosts(["talk.example"]).allow(host)


def test_the_check_of_hosts_can_be_turned_off():
    assert AllowedHosts(["*"]).allow("anything.example")


def test_the_name_that_is_listened_on_is_allowed(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "mybox.lan")
    hosts = AllowedHosts(own_names("gateway.internal"))
    assert all(map(hosts.allow, ("gateway.internal", "mybox.lan", "mybox", "mybox.local:8000")))


async def test_a_page_that_rebinds_its_name_reaches_nothing():
    async with served(TURN) as gateway:
        evil = {"Host": "evil.example:8000", "Origin": "http://evil.example:8000"}
        status, body, headers = await gateway.offer(headers=evil)
        assert (status, body["error"]["type"]) == (421, "HostRefused")
        assert "GATEWAY_HTTP_HOSTS" in body["error"]["hint"]
        assert "Access-Control-Allow-Origin" not in headers
        assert not gateway.peers.offers
        for path in ("/config.json", "/metrics", "/nothing"):
            async with gateway.session.get(path, headers=evil) as response:
                assert response.status == 421
                assert "turn-password" not in await response.text()
        async with gateway.session.get("/readyz", headers=evil) as response:
            assert (response.status, await response.json()) == (200, {"ready": True})
        # the same for everybody; the page says what is wrong with its address
        for path in ("/", "/healthz", "/emotions.json"):
            async with gateway.session.get(path, headers=evil) as response:
                assert response.status == 200


async def test_a_public_name_is_allowed_by_setting():
    async with served(http_hosts=["talk.example"]) as gateway:
        page = {"Host": "talk.example", "Origin": "https://talk.example"}
        assert (await gateway.offer(headers=page))[0] == 200
        page["Origin"] = "https://evil.example"
        assert (await gateway.offer(headers=page))[0] == 403


@pytest.mark.parametrize(
    "origin",
    [b"http://[::1", b"null", b"http://\xff", b"\xff\xfe", "http://übel.example".encode(), b"://", b"http://",
     b"x" * 7000, b"http://localhost:99999999", b"http://localhost@evil.example", b"ftp://localhost", b"file://", b"http://[v1.x]"],
)  # fmt: skip
async def test_a_malformed_origin_is_refused(origin):
    async with served() as gateway:
        status, head, body = await raw_offer(gateway, b"Origin: " + origin)
        assert (status, json.loads(body)["error"]["type"]) == (403, "OriginRefused")
        assert b"X-Content-Type-Options" in head
        assert not gateway.peers.offers


@pytest.mark.parametrize("host", [b"\xff", b"[::1", "übel.example".encode(), b"evil.example", b"a" * 5000, b""])
async def test_a_malformed_host_is_refused(host):
    async with served() as gateway:
        status, _, _ = await raw_offer(gateway, host=host)
        assert status in (400, 421)
        assert not gateway.peers.offers


async def test_a_second_host_does_not_hide_the_first():
    async with served() as gateway:
        status, _, _ = await raw_offer(gateway, b"Host: evil.example")
        assert status in (400, 421)
        assert not gateway.peers.offers


@pytest.mark.parametrize(
    "given",
    [b"Bearer \xff", b"Bearer " + TOKEN.encode() + b"\xff", b"\xff\xff", b"Bearer", b"Bearer ", b"", b"bearer\t",
     "Bearer s3cret-märker".encode(), b"Bearer " + b"x" * 7000, b"Basic " + TOKEN.encode()],
)  # fmt: skip
async def test_a_token_of_any_bytes_is_refused_and_never_logged(given):
    async with served(http_token=TOKEN) as gateway:
        with structlog.testing.capture_logs() as logs:
            status, _, body = await raw_offer(gateway, b"Authorization: " + given)
        assert (status, json.loads(body)["error"]["type"]) == (401, "Unauthenticated")
        assert TOKEN not in repr(logs)
        assert TOKEN.encode() not in body
        assert not gateway.peers.offers


@pytest.mark.parametrize(
    "line",
    [
        f"Authorization: Bearer {TOKEN}\0",
        f"Authorization : Bearer {TOKEN}",
        f"Authorization: Bearer {TOKEN}" + "x" * 9000,
        f"\xff{TOKEN}: x",
        f"Authorization: Bearer {TOKEN}\r\n\x01: x",
        f"Transfer-Encoding: {TOKEN}",
    ],
)
async def test_a_malformed_header_is_never_logged(line, caplog, capsys):
    caplog.set_level(logging.INFO)
    async with served(http_token=TOKEN) as gateway:
        status, _, _ = await raw_offer(gateway, line.encode("latin-1"))
    assert status in (400, 401)
    assert TOKEN not in caplog.text
    assert TOKEN not in "".join(capsys.readouterr())


async def test_a_token_with_other_letters_works():
    async with served(http_token="schlüssel") as gateway:
        status, _, _ = await raw_offer(gateway, b"Authorization: Bearer " + "schlüssel".encode())
        assert status == 200


async def test_metrics_and_the_details_of_readiness_need_the_token():
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with served(http_token=TOKEN) as gateway:
        for ready, status in ((True, 200), (False, 503)):
            gateway.readiness.ready = ready
            async with gateway.session.get("/readyz") as response:
                assert (response.status, await response.json()) == (status, {"ready": ready})
            async with gateway.session.get("/readyz", headers=headers) as response:
                assert (response.status, await response.json()) == (status, {**REPORT, "ready": ready})
        async with gateway.session.get("/metrics") as response:
            assert response.status == 401
            assert "oviya_" not in await response.text()
        async with gateway.session.get("/metrics", headers=headers) as response:
            assert response.status == 200


async def test_metrics_can_be_kept_off_the_page_s_port():
    async with served(http_metrics=False) as gateway, gateway.session.get("/metrics") as response:
        assert response.status == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (r'{"sdp": "\ud800", "type": "offer", "session": "\ud800"}', "session"),
        (r'{"sdp": "v=0", "type": "\udfff"}', "type"),
        (r'{"sdp": "v=0", "type": {"\ud800": 1}}', "type"),
    ],
)
async def test_text_that_is_none_is_refused_by_field(body, field):
    async with served() as gateway:
        status, answer, _ = await gateway.offer(body)
        assert (status, answer["error"]["field"]) == (400, field)


async def test_the_client_s_address_is_told_to_the_peers():
    async with served() as gateway:
        await gateway.offer(headers={"X-Forwarded-For": "203.0.113.9"})
        assert gateway.peers.clients == ["127.0.0.1"]


def test_a_typed_message_with_half_a_letter_is_refused():
    from oviya.errors import InvalidInput

    with pytest.raises(InvalidInput):
        read_message('{"text": "\\ud800"}', 100)
