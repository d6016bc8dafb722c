"""What the page says when something is missing, and that it goes on once that is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from oviya.cli.local.plan import GATEWAY, Plan
from oviya.cli.local.ports import free_ports
from oviya.cli.local.supervisor import LocalMesh
from tests.support import browser

READY_S = 60
TOKEN = "open sesame"
SESSIONS = "said.filter(({message}) => message.sessionStarted).map(({message}) => message.sessionStarted.sessionId)"
"""The names of the sessions that the page has held."""


@pytest.fixture
def microphone(tmp_path: Path) -> tuple[str, ...]:
    """The flags of a Chromium whose microphone hears nothing."""
    return browser.microphone(tmp_path / "mic.wav", [1.0])


async def connect(page: Page) -> None:
    await page.get_by_role("button", name="Start talking").click()
    await expect(page.locator("#connection")).to_have_text("Connected", timeout=15_000)


async def test_missing_service_is_named_until_it_is_there(mesh, microphone):
    mesh.stop("stt")
    async with browser.open_page(mesh.http_url, *microphone) as page:
        readiness = page.locator("#readiness")
        await expect(readiness).to_contain_text("Oviya is not ready yet", timeout=15_000)
        await expect(readiness).to_contain_text("Speech recognition (stt) cannot be reached")
        start = page.get_by_role("button", name="Start talking")
        await expect(start).to_have_attribute("aria-disabled", "true")
        await start.dispatch_event("click")
        await expect(page.locator("#connection")).to_have_text("Not connected")
        mesh.start("stt")
        await expect(readiness).to_be_empty(timeout=15_000)
        await connect(page)


async def test_limit_of_a_missing_service_is_reported_while_the_page_works(mesh, microphone):
    mesh.stop("emotion")
    async with browser.open_page(mesh.http_url, *microphone) as page:
        readiness = page.locator("#readiness")
        await expect(readiness).to_contain_text("Emotion detection (emotion): cannot be reached", timeout=15_000)
        await connect(page)
        await page.get_by_label("Type a message").fill("I am happy today.")
        await page.get_by_role("button", name="Send").click()
        await expect(page.locator(".turn.reply .sentence").first).to_be_visible(timeout=15_000)
        mesh.start("emotion")
        await expect(readiness).to_be_empty(timeout=20_000)


async def test_server_that_ends_is_reported_and_can_be_reconnected(mesh, microphone):
    async with browser.open_page(mesh.http_url, *microphone) as page:
        await connect(page)
        await browser.wait_until(page, f"{SESSIONS}.length === 1", 5)
        mesh.stop(GATEWAY)
        await expect(page.get_by_role("alert")).to_contain_text("ended this session", timeout=20_000)
        await expect(page.locator("#readiness")).to_contain_text("The server does not respond", timeout=15_000)
        mesh.start(GATEWAY)
        await expect(page.locator("#readiness")).to_be_empty(timeout=15_000)
        await page.get_by_role("button", name="Reconnect").click()
        await expect(page.locator("#connection")).to_have_text("Connected", timeout=15_000)
        await expect(page.get_by_role("alert")).to_be_empty()
        await browser.wait_until(page, f"{SESSIONS}.length === 2", 5)
        first, second = await page.evaluate(SESSIONS)
        assert first == second  # a gateway that keeps sessions goes on where it was


async def test_token_is_asked_for_until_it_is_right(guarded_gateway, microphone):
    async with browser.open_page(guarded_gateway.plan.http_url, *microphone) as page:
        await page.get_by_role("button", name="Start talking").click()
        token = page.get_by_role("dialog", name="Access token").get_by_label("Token", exact=True)
        await token.fill("wrong")
        async with page.expect_response("**/offer") as refusal:
            await token.press("Enter")
        assert (await refusal.value).status == 401
        await expect(token).to_be_visible()
        await expect(token).to_be_focused()
        await expect(token).to_be_empty()
        await token.fill(TOKEN)
        await page.get_by_role("button", name="Continue", exact=True).click()
        await expect(page.locator("#connection")).to_have_text("Connected", timeout=15_000)


@pytest.fixture
def guarded_gateway(mesh, tmp_path: Path) -> Iterator[LocalMesh]:
    """A second gateway before the same services, which asks for a token."""
    with gateway_beside(mesh.local, tmp_path, GATEWAY_HTTP_TOKEN=TOKEN) as local:
        local.start()
        local.wait_ready(READY_S)
        yield local


@contextmanager
def gateway_beside(shared: LocalMesh, logs: Path, **settings: str) -> Iterator[LocalMesh]:
    """Plans a gateway that uses the services of another mesh.

    Args:
        shared: the other mesh.
        logs: folder for its log.
        settings: its environment variables, beside those of the other mesh.
    """
    grpc_port, http_port = free_ports(2)
    env = {**shared.plan.env, "GATEWAY_PORT": str(grpc_port), "GATEWAY_HTTP_PORT": str(http_port), **settings}
    with LocalMesh(Plan({GATEWAY: grpc_port}, http_port, env), logs) as local:
        yield local
