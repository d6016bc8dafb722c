"""Takes the README's pictures of the page, in Chromium, of a mesh that runs: `python -m tests.screenshots URL`.

The user asks, says "yeah" while Oviya answers, asks again and interrupts the answer.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from playwright.async_api import Page, ViewportSize, expect

from tests.support import browser
from tests.support.speech import LONELY, speak

FOLDER = Path(__file__).parents[1] / "docs"
TURN_MS = 60_000
PHONE = ViewportSize(width=390, height=760)


async def say(page: Page, text: str) -> None:
    await browser.say(page, speak(text, browser.RATE_HZ))


async def shows(page: Page, phase: str) -> None:
    await expect(page.locator("#phase")).to_have_text(phase, timeout=TURN_MS)


async def converse(page: Page) -> None:
    """Holds the conversation up to the middle of its last reply."""
    await page.get_by_role("button", name="Start talking").click()
    await expect(page.locator("#connection")).to_have_text("Connected", timeout=TURN_MS)
    await say(page, LONELY)
    await shows(page, "Speaking…")
    await say(page, "yeah")
    await shows(page, "Listening. Speak at any time.")
    await say(page, "tell me how i can find new friends")
    await expect(page.locator(".reply.speaking .word.spoken").nth(3)).to_be_visible(timeout=TURN_MS)
    await say(page, "no wait i want to talk about my work")
    await expect(page.locator(".cut")).to_have_count(1, timeout=TURN_MS)
    await expect(page.locator(".reply.speaking .word.spoken").nth(3)).to_be_visible(timeout=TURN_MS)
    await page.mouse.move(0, 0)


async def main(url: str) -> None:
    flags, script = ("--use-fake-ui-for-media-stream",), browser.OPEN_MICROPHONE
    async with browser.open_page(url, *flags, viewport=(1280, 860), script=script) as page:
        await converse(page)
        await page.screenshot(path=FOLDER / "page.png")
        await page.emulate_media(color_scheme="dark")
        await page.set_viewport_size(PHONE)
        await expect(page.locator(".reply .meta").last).to_be_in_viewport()
        await page.screenshot(path=FOLDER / "page-phone.png")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
