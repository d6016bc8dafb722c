"""A real Chromium talks over the replies of the six services."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, expect

from tests.e2e.conftest import RunningMesh
from tests.support import browser
from tests.support.browser import RATE_HZ
from tests.support.speech import LONELY, speak, word_errors

TURN_MS = 60_000
"""Patience on a busy machine."""
INTERRUPTION = "no wait i want to talk about my work"
MAX_WORD_ERRORS = 3
LISTENING = "Listening. Speak at any time."
EVENTS = "said.map(({message}) => message).filter((message) => message.turn === undefined).flatMap(Object.keys)"
"""The names of the events of the first turn."""


@pytest.fixture
async def page(mesh: RunningMesh) -> AsyncIterator[Page]:
    """The page in a session; its microphone hears what `browser.say` says."""
    script = browser.OPEN_MICROPHONE
    async with browser.open_page(mesh.http_url, "--use-fake-ui-for-media-stream", script=script) as page:
        await page.get_by_role("button", name="Start talking").click()
        await expect(page.locator("#connection")).to_have_text("Connected", timeout=TURN_MS)
        yield page


async def say(page: Page, text: str) -> None:
    await browser.say(page, speak(text, RATE_HZ))


async def shows(page: Page, phase: str) -> None:
    """Waits until the status line says this."""
    await expect(page.locator("#phase")).to_have_text(phase, timeout=TURN_MS)


async def test_words_over_a_reply_stop_it_and_are_answered(page):
    await say(page, LONELY)
    await shows(page, "Speaking…")
    await say(page, INTERRUPTION)
    cut = page.locator(".turn.reply", has=page.locator(".cut"))
    await expect(cut).to_have_count(1, timeout=TURN_MS)
    await expect(page.locator("#transcript .turn")).to_have_count(4, timeout=TURN_MS)
    await shows(page, LISTENING)
    users = await page.locator("#transcript .turn.user .words").all_text_contents()
    assert word_errors(users[0], LONELY) <= MAX_WORD_ERRORS
    assert word_errors(users[1], INTERRUPTION) <= MAX_WORD_ERRORS
    heard, unheard = await cut.locator(".heard").text_content(), await cut.locator(".unheard").text_content()
    first = await page.evaluate(EVENTS)
    assert unheard
    assert first.count("interrupted") == 1
    assert "replyEnded" not in first
    announced = await page.evaluate(
        "said.map(({message}) => message).filter((message) => message.replySentence && message.turn === undefined)"
        ".map((message) => message.replySentence.text)"
    )
    assert f"{heard} {unheard}".split()[: len(announced[0].split())] == announced[0].split()


async def test_a_sign_of_listening_does_not_stop_a_reply(page):
    await say(page, LONELY)
    await shows(page, "Speaking…")
    await say(page, "yeah")
    await expect(page.locator(".note.aside")).to_have_count(1, timeout=TURN_MS)
    await shows(page, LISTENING)
    await expect(page.locator(".cut")).to_have_count(0)
    await expect(page.locator("#transcript .turn")).to_have_count(2)
    assert "replyEnded" in await page.evaluate(EVENTS)


async def test_the_button_stops_a_reply(page):
    await say(page, LONELY)
    await shows(page, "Speaking…")
    await page.keyboard.press("Escape")
    await expect(page.locator(".cut")).to_have_count(1, timeout=TURN_MS)
    await shows(page, LISTENING)
    assert (await page.evaluate(EVENTS)).count("interrupted") == 1


async def test_a_message_over_a_reply_is_answered_at_once(page):
    await page.get_by_label("Type a message").fill("I feel lonely today.")
    await page.keyboard.press("Enter")
    await shows(page, "Speaking…")
    await page.get_by_label("Type a message").fill("I would like to talk about my work.")
    await page.keyboard.press("Enter")
    await expect(page.locator(".cut")).to_have_count(1, timeout=TURN_MS)
    await expect(page.locator("#transcript .turn.reply")).to_have_count(2, timeout=TURN_MS)
    await shows(page, LISTENING)
