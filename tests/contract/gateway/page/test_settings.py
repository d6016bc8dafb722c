"""The settings: devices, the emotion of replies, colours, and what can be downloaded."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import av
import numpy as np
import pytest
from playwright.async_api import expect

from oviya.audio.pcm import F32LE, encode_pcm
from oviya.emotions.tables import load_emotions
from oviya.v1 import common_pb2
from services.gateway.transport.webrtc.playout import RATE_HZ
from tests.support import browser
from tests.support.waiting import PATIENCE_S
from tests.support.webrtc_client import dominant_hz, tone

REPLY_HZ = 700


async def test_replies_can_be_asked_for_in_each_of_the_49_emotions(opened):
    settings = await opened.settings()
    emotions = settings.get_by_label("Emotion of the replies")
    values = await emotions.locator("option").evaluate_all("options => options.map(option => option.value)")
    assert set(values) == {"", *load_emotions()}
    await emotions.select_option("empathetic sad")
    await opened.close_settings()
    await opened.start()  # a session begins with what was chosen before
    assert (await opened.gateway.request()).set_emotion.emotion == "empathetic_sad"
    settings = await opened.settings()
    await emotions.select_option("as the reply wishes")
    request = await opened.gateway.request()
    assert (request.WhichOneof("request"), request.set_emotion.emotion) == ("set_emotion", "")


async def test_another_microphone_takes_over_within_the_session(opened):
    await opened.start()
    first = await opened.page.evaluate("microphoneTrack.label")
    settings = await opened.settings()
    microphones = settings.get_by_label("Microphone", exact=True)
    labels = await microphones.locator("option").all_text_contents()
    another = next(label for label in labels[1:] if label != first)
    await opened.page.evaluate("globalThis.firstTrack = microphoneTrack")
    await microphones.select_option(another)
    replaced = "microphoneTrack !== firstTrack && firstTrack.readyState === 'ended'"
    await browser.wait_until(opened.page, replaced, PATIENCE_S)
    assert await opened.page.evaluate("microphoneTrack.label") == another
    await opened.close_settings()
    await expect(opened.page.locator("#connection")).to_have_text("Connected")
    await expect(opened.page.get_by_role("alert").first).to_be_empty()


async def test_a_microphone_that_is_gone_is_replaced_by_the_browsers_choice(opened):
    await opened.page.evaluate("localStorage.setItem('oviya-microphone', 'unplugged')")
    await opened.start()
    await opened.shows("Listening. Speak at any time.")


async def test_replies_are_played_on_the_chosen_loudspeaker(opened):
    await opened.start()
    settings = await opened.settings()
    loudspeakers = settings.get_by_label("Loudspeaker")
    label = (await loudspeakers.locator("option").all_text_contents())[1]
    await loudspeakers.select_option(label)
    chosen = await loudspeakers.input_value()
    assert chosen
    await expect(opened.page.locator("#reply-audio")).to_have_js_property("sinkId", chosen)


@pytest.mark.parametrize(("chosen", "ground"), [("Light", "rgb(246, 244, 239)"), ("Dark", "rgb(20, 24, 27)")])
async def test_colours_follow_the_system_until_they_are_chosen(opened, chosen, ground):
    body = opened.page.locator("body")
    await opened.page.emulate_media(color_scheme="dark" if chosen == "Light" else "light")
    settings = await opened.settings()
    await expect(body).not_to_have_css("background-color", ground)
    await settings.get_by_label(chosen).check()
    await expect(body).to_have_css("background-color", ground)
    await opened.page.reload()
    await expect(body).to_have_css("background-color", ground)
    settings = await opened.settings()
    await settings.get_by_label("As the system").check()
    await expect(body).not_to_have_css("background-color", ground)


async def downloaded(talk, name: str) -> Path:
    """Presses a button of the settings; returns the file that it downloads."""
    async with talk.page.expect_download() as download:
        await talk.page.get_by_role("button", name=name).click()
    return await (await download.value).path()


async def test_the_transcript_can_be_downloaded(opened):
    settings = await opened.settings()
    await expect(settings.get_by_role("button", name="Transcript as text")).to_be_disabled()
    await opened.close_settings()
    await opened.start()
    await opened.type("tell me a story")
    await opened.says(0, "Once there was a fox.", plan={"emotion": "warm"})
    opened.gateway.send(0, user_emotion={"emotion": "curious"})
    opened.gateway.send(0, interrupted={"heard_text": "Once there", "unheard_text": "was a fox."})
    opened.gateway.send(1, speech_started={})
    opened.gateway.send(1, turn_dropped={"reason": "DROP_REASON_NO_WORDS"})
    opened.gateway.send(2, speech_started={})
    opened.gateway.send(2, final={"text": "no a shorter one", "language": "en"})
    await opened.says(2, "A fox slept.")
    opened.gateway.send(2, reply_ended={"latency": {"first_audio": {"seconds": 1}}})
    await opened.shows("Listening. Speak at any time.")
    await opened.settings()
    text = (await downloaded(opened, "Transcript as text")).read_text("utf-8")
    assert text.splitlines()[1:5] == [
        "You (seems curious): tell me a story",
        "Oviya: Once there [interrupted; not heard: was a fox.]",
        "You: no a shorter one",
        "Oviya: A fox slept.",
    ]
    kept = json.loads((await downloaded(opened, "Transcript as JSON")).read_text("utf-8"))
    (session,) = kept["sessions"]
    assert session["session"] == "scripted"
    first, second = session["turns"]
    assert first == {
        "turn": 0, "said": "tell me a story", "typed": True, "feeling": "curious", "heard": "Once there",
        "unheard": "was a fox.", "reply": [{"text": "Once there was a fox.", "emotion": "warm"}],
    }  # fmt: skip
    assert second["latency"] == {"firstAudio": "1s"}


async def test_the_sound_of_both_sides_can_be_downloaded(opened):
    """The user is on the left, the reply on the right; also after the session."""
    await opened.start()
    async with asyncio.timeout(PATIENCE_S):
        await opened.gateway.heard_speech.wait()
    await opened.says(0, "A tone.")
    pcm = encode_pcm(tone(REPLY_HZ, 2.0), F32LE)
    audio = {"format": common_pb2.AudioFormat(encoding=F32LE, sample_rate_hz=RATE_HZ), "pcm": pcm}
    opened.gateway.send(0, audio=audio)
    opened.gateway.send(0, reply_ended={})
    await opened.shows("Listening. Speak at any time.")
    await opened.page.get_by_role("button", name="End", exact=True).click()
    await opened.settings()
    left, right = decoded(await downloaded(opened, "Sound of both sides"))
    loud = np.flatnonzero(np.abs(right) > 0.05)
    middle = (loud[0] + loud[-1]) // 2
    assert dominant_hz(right[middle - 12_000 : middle + 12_000], RATE_HZ) == pytest.approx(REPLY_HZ, abs=5)
    assert np.abs(left).max() > 0.05
    spoken = np.flatnonzero(np.abs(left) > 0.05)
    assert np.abs(right[spoken[0] : min(spoken[0] + 12_000, loud[0])]).max() < 0.01  # the sides are apart


def decoded(path: Path) -> np.ndarray:
    """The sound of a file, shape (2, samples), at RATE_HZ."""
    resampler = av.AudioResampler("fltp", "stereo", RATE_HZ)
    with av.open(str(path)) as container:
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
