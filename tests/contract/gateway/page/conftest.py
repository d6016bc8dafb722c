"""A page in Chromium, in a session with a conversation that the test scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.support import browser
from tests.support.scripted_conversation import ScriptedConversation, serve_page

CONNECT_MS = 20_000


@dataclass
class OpenPage:
    """The page, and the gateway's side of its session."""

    page: Page
    gateway: ScriptedConversation

    async def start(self) -> None:
        """Starts a session."""
        await self.page.get_by_role("button", name="Start talking").click()
        await self.connected()

    async def connected(self) -> None:
        await expect(self.page.locator("#connection")).to_have_text("Connected", timeout=CONNECT_MS)

    async def type(self, text: str) -> None:
        """Types a message and sends it."""
        await self.page.get_by_label("Type a message").fill(text)
        await self.page.get_by_role("button", name="Send").click()

    async def says(self, turn: int, text: str, **sentence: Any) -> None:
        """Oviya says a sentence, which the page shows."""
        self.gateway.say(turn, text, **sentence)
        await expect(self.page.locator(".reply .sentence", has_text=text)).to_be_visible()

    async def shows(self, activity: str) -> None:
        """Waits until the status line says this."""
        await expect(self.page.locator("#phase")).to_have_text(activity)


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[OpenPage]:
    """The page, not yet in a session; its microphone hears nothing."""
    gateway = ScriptedConversation()
    microphone = browser.microphone(tmp_path / "microphone.wav", [1.0])
    async with serve_page(gateway) as url, browser.open_page(url, *microphone) as page:
        yield OpenPage(page, gateway)


@pytest.fixture
async def talk(opened: OpenPage) -> OpenPage:
    """The page in a session with its microphone open."""
    await opened.start()
    return opened
