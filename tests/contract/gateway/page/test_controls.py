"""The controls of a session: what they send, and what the status line says."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

MICROPHONE_IS_OPEN = "microphoneTrack.enabled"


async def choose(talk, label):
    """Chooses a radio button in the settings."""
    settings = await talk.settings()
    await settings.get_by_label(label).check()
    await talk.close_settings()


async def test_the_status_line_follows_the_conversation(talk):
    await talk.shows("Listening. Speak at any time.")
    talk.gateway.send(0, speech_started={})
    await talk.shows("You are speaking.")
    talk.gateway.send(0, final={"text": "hello"})
    talk.gateway.send(0, turn_ended={})
    await talk.shows("Thinking…")
    await talk.says(0, "Good morning.")
    await talk.shows("Speaking…")
    talk.gateway.send(1, speech_started={})  # Oviya is still heard
    talk.gateway.send(1, partial={"text": "i"})
    await expect(talk.page.locator("#partial")).to_have_text("i")
    await talk.shows("Speaking…")
    talk.gateway.send(0, reply_ended={})
    await talk.shows("You are speaking.")
    talk.gateway.send(1, turn_failed={"message": "nothing was understood"})
    await talk.shows("Listening. Speak at any time.")


async def test_muting_while_oviya_speaks_is_no_phase_of_the_conversation(opened):
    talk = opened
    await talk.start()
    await talk.type("hello")
    assert (await talk.gateway.request()).text == "hello"
    await talk.says(0, "Good morning.")
    await talk.page.get_by_role("button", name="Mute").click()
    assert not await talk.page.evaluate(MICROPHONE_IS_OPEN)
    await talk.shows("Speaking…")
    talk.gateway.send(0, reply_ended={})
    await talk.shows("You are muted.")
    asked = await talk.page.evaluate("asked")
    assert asked["echoCancellation"]
    assert asked["noiseSuppression"]
    assert asked["autoGainControl"]


async def test_a_text_that_is_typed_while_oviya_speaks_interrupts_first(talk):
    await talk.type("tell me a story")
    assert (await talk.gateway.request()).text == "tell me a story"  # nothing was spoken: no interruption
    await talk.says(0, "Once there was a fox.")
    await talk.type("a shorter one")
    assert (await talk.gateway.request()).WhichOneof("request") == "interrupt"
    assert (await talk.gateway.request()).text == "a shorter one"
    talk.gateway.send(0, interrupted={"heard_text": "Once", "unheard_text": "there was a fox."})
    await talk.shows("Thinking…")
    await talk.says(1, "A fox slept.")
    talk.gateway.send(1, reply_ended={})
    await talk.shows("Listening. Speak at any time.")
    said = await talk.page.locator(".turn .words").all_text_contents()
    assert said == ["tell me a story", "Once there was a fox.", "a shorter one", "A fox slept. "]


@pytest.mark.parametrize("how", ["button", "Escape"])
async def test_a_reply_can_be_stopped(talk, how):
    stop_reply = talk.page.get_by_role("button", name="Stop reply")
    await expect(stop_reply).to_have_attribute("aria-disabled", "true")
    await talk.page.keyboard.press("Escape")  # there is nothing to stop
    talk.gateway.send(0, speech_started={})
    talk.gateway.send(0, final={"text": "hello"})
    talk.gateway.send(0, turn_ended={})
    await talk.says(0, "Good morning.")
    await expect(stop_reply).to_have_attribute("aria-disabled", "false")
    await (stop_reply.click() if how == "button" else talk.page.keyboard.press("Escape"))
    assert (await talk.gateway.request()).WhichOneof("request") == "interrupt"
    talk.gateway.send(0, interrupted={"heard_text": "Good", "unheard_text": "morning."})
    await expect(stop_reply).to_have_attribute("aria-disabled", "true")
    assert talk.gateway.no_request


@pytest.mark.parametrize("how", ["pointer", "space bar", "click"])
async def test_push_to_talk_opens_the_microphone_while_it_is_held(opened, how):
    talk = opened
    await choose(talk, "Push to talk")
    await talk.start()
    button = talk.page.get_by_role("button", name="Hold to talk")
    await talk.shows("Hold the button or the space bar to talk.")
    assert not await talk.page.evaluate(MICROPHONE_IS_OPEN)
    match how:
        case "pointer":
            await button.hover()
            await talk.page.mouse.down()
        case "space bar":
            await talk.page.keyboard.down(" ")
        case _:  # as a screen reader does
            await button.dispatch_event("click")
    await expect(button).to_have_attribute("aria-pressed", "true")
    assert await talk.page.evaluate(MICROPHONE_IS_OPEN)
    assert talk.gateway.no_request
    match how:
        case "pointer":
            await talk.page.mouse.up()
        case "space bar":
            await talk.page.keyboard.up(" ")
        case _:
            await button.dispatch_event("click")
    assert (await talk.gateway.request()).WhichOneof("request") == "end_turn"
    await expect(button).to_have_attribute("aria-pressed", "false")
    assert not await talk.page.evaluate(MICROPHONE_IS_OPEN)


async def test_holding_the_button_interrupts_the_reply(talk):
    await choose(talk, "Push to talk")
    await talk.type("tell me a story")
    await talk.gateway.request()
    await talk.says(0, "Once there was a fox.")
    await talk.page.locator("#conversation").focus()
    await talk.page.keyboard.down(" ")
    assert (await talk.gateway.request()).WhichOneof("request") == "interrupt"
    await talk.page.keyboard.up(" ")
    assert (await talk.gateway.request()).WhichOneof("request") == "end_turn"


async def test_the_space_bar_writes_where_text_is_typed(talk):
    await choose(talk, "Push to talk")
    await talk.page.get_by_label("Type a message").focus()
    await talk.page.keyboard.type("good morning")
    await expect(talk.page.get_by_label("Type a message")).to_have_value("good morning")
    await expect(talk.page.get_by_role("button", name="Hold to talk")).to_have_attribute("aria-pressed", "false")
