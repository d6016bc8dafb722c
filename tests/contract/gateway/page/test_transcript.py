"""The transcript shows the conversation as it happens."""

from __future__ import annotations

from playwright.async_api import expect

SENTENCE = "Rain is on its way. 🌧️ Stay dry."
CALM = {"emotion": "calm_supportive", "style": "calm"}


def said(talk, turn, text):
    """The user says something that ends a turn."""
    talk.gateway.send(turn, speech_started={})
    talk.gateway.send(turn, final={"text": text, "language": "en"})
    talk.gateway.send(turn, turn_ended={})


async def lit(talk):
    """The words that have lit up, as one text."""
    return "".join(await talk.page.locator(".word.spoken").all_text_contents())


async def test_words_light_up_as_they_are_spoken(talk):
    said(talk, 0, "what about the weather")
    await talk.says(0, SENTENCE, plan=CALM)
    await expect(talk.page.locator(".reply.speaking .words")).to_have_text(SENTENCE)
    assert await lit(talk) == ""
    talk.gateway.send(0, words_spoken={"chars": 7})
    await expect(talk.page.locator(".word.spoken")).to_have_count(3)
    assert await lit(talk) == "Rain is"
    # the emoji are two code points, and four units of JavaScript's strings
    talk.gateway.send(0, words_spoken={"chars": 27})
    await expect(talk.page.locator(".word.spoken").last).to_have_text("Stay")
    await talk.says(0, "And warm.", index=1)
    talk.gateway.send(0, words_spoken={"index": 1, "chars": 3})
    await expect(talk.page.locator(".word.spoken").last).to_have_text("And")
    assert await lit(talk) == SENTENCE + "And"
    talk.gateway.send(0, reply_ended={"latency": {"first_audio": {"nanos": 640_000_000}}})
    await expect(talk.page.locator(".reply .meta")).to_have_text("calm supportiveafter 0.6 s")
    await expect(talk.page.locator(".reply.speaking")).to_have_count(0)


async def test_a_paused_reply_goes_on_where_it_stopped(talk):
    said(talk, 0, "what about the weather")
    await talk.says(0, "Rain is on its way.")
    await talk.says(0, "Stay dry.", index=1)
    talk.gateway.send(0, words_spoken={"index": 1, "chars": 4})
    talk.gateway.send(1, speech_started={})
    talk.gateway.send(0, reply_paused={})
    talk.gateway.send(1, partial={"text": "mm hm"})
    await talk.shows("Paused: listening to you.")
    await expect(talk.page.locator(".reply.paused")).to_have_count(1)
    await expect(talk.page.locator("#partial")).to_have_text("mm hm")
    talk.gateway.send(0, reply_resumed={})
    talk.gateway.send(1, turn_dropped={"reason": "DROP_REASON_BACKCHANNEL", "text": "mm-hm"})
    talk.gateway.send(0, words_spoken={"chars": 10})
    talk.gateway.say(0, "Stay dry.", index=1)  # announced again
    await talk.shows("Speaking…")
    await expect(talk.page.locator(".reply.paused")).to_have_count(0)
    await expect(talk.page.locator("#partial")).to_be_hidden()
    await expect(talk.page.locator(".note.aside")).to_have_text("You: “mm-hm”")
    await expect(talk.page.locator(".reply .words")).to_have_text("Rain is on its way. Stay dry.")
    assert await lit(talk) == "Rain is on"
    await expect(talk.page.locator("#transcript .turn.user")).to_have_count(1)


async def test_noise_and_the_replys_own_sound_leave_no_trace(talk):
    said(talk, 0, "hello")
    await talk.says(0, "Good morning.")
    for turn, reason in ((1, "DROP_REASON_NO_WORDS"), (2, "DROP_REASON_ECHO")):
        talk.gateway.send(turn, speech_started={})
        talk.gateway.send(turn, partial={"text": "good"})
        talk.gateway.send(turn, turn_dropped={"reason": reason, "text": "good"})
    talk.gateway.send(0, reply_ended={})
    await talk.shows("Listening. Speak at any time.")
    await expect(talk.page.locator("#partial")).to_be_hidden()
    await expect(talk.page.locator("#transcript > li")).to_have_count(2)


async def test_an_interrupted_reply_shows_where_it_was_cut(talk):
    said(talk, 0, "tell me a story")
    await talk.says(0, "One moment.", filler=True)
    await talk.says(0, "Once there was a fox.", index=1, language="en")
    talk.gateway.send(1, speech_started={})
    talk.gateway.send(0, reply_paused={})
    talk.gateway.send(
        0,
        interrupted={
            "reason": "INTERRUPT_REASON_SPEECH", "heard_text": "Once there", "unheard_text": "was a fox. It was red."
        },
    )  # fmt: skip
    await talk.shows("You are speaking.")
    said(talk, 1, "no a shorter one")
    await talk.says(1, "A fox slept.")
    replies = talk.page.locator(".turn.reply")
    await expect(replies).to_have_count(2)
    await expect(replies.first.locator(".heard")).to_have_text("Once there")
    await expect(replies.first.locator("s")).to_have_text("was a fox. It was red.")
    await expect(replies.first.locator(".cut")).to_have_text("interrupted")
    await expect(replies.last.locator(".words")).to_have_text("A fox slept.")
    order = await talk.page.locator("#transcript > li").all_text_contents()
    assert [line.split(":")[0] for line in order] == ["You", "Oviya", "You", "Oviya"]


async def test_a_reply_that_was_stopped_before_its_first_sound_leaves_no_empty_line(talk):
    said(talk, 0, "tell me a story")
    talk.gateway.send(0, interrupted={"reason": "INTERRUPT_REASON_REQUESTED"})
    await talk.shows("Listening. Speak at any time.")
    await expect(talk.page.locator("#transcript > li")).to_have_count(1)
    await expect(talk.page.locator("#thinking")).to_be_hidden()


async def test_feelings_are_labels_and_failed_requests_are_notes(talk):
    said(talk, 0, "i miss my sister")
    talk.gateway.send(0, user_emotion={"emotion": "empathetic_sad", "score": 0.8})
    talk.gateway.send(0, request_failed={"message": "the clip has 2 s of speech", "hint": "record 3 s or more"})
    await expect(talk.page.locator(".turn.user .meta")).to_have_text("seems empathetic sad")
    await expect(talk.page.locator(".note.failure")).to_have_text("The clip has 2 s of speech. Record 3 s or more.")
    await talk.shows("Thinking…")  # the turn goes on
