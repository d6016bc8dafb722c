"""A page in Chromium, in a session with a conversation that the test scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from tests.support import browser
from tests.support.scripted_conversation import ScriptedConversation, serve_page
from tests.support.scripted_voices import ScriptedVoices

SPEECH = "good morning this is the user who is speaking now"
CONNECT_MS = 20_000
# Runs before the page's scripts: keeps the track of the microphone that the page opened last, and what it asked for.
KEEP_TRACK = """
const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (constraints) => {
  const stream = await open(constraints);
  globalThis.asked = constraints.audio;
  [globalThis.microphoneTrack] = stream.getAudioTracks();
  return stream;
};
"""


@dataclass
class OpenPage:
    """The page, and the gateway's side of its session."""

    page: Page
    gateway: ScriptedConversation
    voices: ScriptedVoices

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

    async def settings(self) -> Locator:
        """Opens the settings."""
        await self.page.get_by_role("button", name="Settings").click()
        return self.page.get_by_role("dialog", name="Settings")

    async def close_settings(self) -> None:
        await self.page.get_by_role("button", name="Close").click()

    async def says(self, turn: int, text: str, **sentence: Any) -> None:
        """Oviya says a sentence, which the page shows."""
        self.gateway.say(turn, text, **sentence)
        await expect(self.page.locator(".reply .sentence", has_text=text)).to_be_visible()

    async def shows(self, activity: str) -> None:
        """Waits until the status line says this."""
        await expect(self.page.locator("#phase")).to_have_text(activity)


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[OpenPage]:
    """The page, not yet in a session.

    Its microphone, `microphoneTrack` in scripts, is silent for a second and then hears `SPEECH`.
    """
    gateway = ScriptedConversation()
    microphone = browser.microphone(tmp_path / "microphone.wav", [1.0, SPEECH])
    voices = ScriptedVoices()
    async with (
        serve_page(gateway, voices.middleware()) as url,
        browser.open_page(url, *microphone, script=KEEP_TRACK) as page,
    ):
        yield OpenPage(page, gateway, voices)


@pytest.fixture
async def talk(opened: OpenPage) -> OpenPage:
    """The page in a session with its microphone open."""
    await opened.start()
    return opened
