"""The page fits on a phone, also during a session."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.contract.gateway.page.test_controls import choose

LONG = "Pneumonoultramicroscopicsilicovolcanoconiosis" * 2


@pytest.mark.parametrize("mode", ["Open", "Push to talk"])
async def test_a_session_needs_no_sideways_scrolling_on_a_phone(opened, mode):
    await opened.page.set_viewport_size({"width": 320, "height": 640})
    await opened.page.emulate_media(reduced_motion="reduce")
    await choose(opened, mode)
    await opened.start()
    await opened.type(LONG)
    await opened.says(0, LONG)
    opened.gateway.send(0, reply_paused={})
    await opened.shows("Paused: listening to you.")
    width = "document.documentElement.scrollWidth"
    assert await opened.page.evaluate(width) == 320
    for name in ("Stop reply", "End"):
        await expect(opened.page.get_by_role("button", name=name, exact=True)).to_be_in_viewport(ratio=1)
    settings = await opened.settings()
    await settings.get_by_text("Speak with the voice of a clip").click()
    assert await opened.page.evaluate(width) == 320
    assert await settings.evaluate("dialog => dialog.scrollWidth <= dialog.clientWidth")


async def test_the_newest_words_stay_in_view_when_the_window_becomes_narrow(talk):
    for turn in range(3):
        await talk.type("Tell me a long story about a fox. " * 10)
        await talk.gateway.request()
        await talk.says(turn, "Once there was a fox who lived at the edge of a wood. " * 6 + f"Part {turn}.")
        talk.gateway.send(turn, reply_ended={"latency": {"first_audio": {"seconds": 1}}})
        await talk.shows("Listening. Speak at any time.")
    newest = talk.page.locator(".reply .meta").last
    await expect(newest).to_be_in_viewport()
    await talk.page.set_viewport_size({"width": 360, "height": 640})
    await expect(newest).to_be_in_viewport()
    await talk.page.locator("#conversation").evaluate("conversation => conversation.scrollTo(0, 0)")
    await talk.type("And now?")  # reading further up is not disturbed
    await expect(talk.page.locator(".turn.user .words").last).not_to_be_in_viewport()
