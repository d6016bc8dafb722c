"""The choice of the voice that speaks, and the voice of a clip."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from playwright.async_api import expect

from oviya.audio.files import SoundFile
from oviya.audio.wav import write_wav
from tests.support import browser
from tests.support.speech import speak
from tests.support.waiting import PATIENCE_S

REASON = "the clip has 1.2 s of speech; at least 2.5 s are needed"


async def set_voice(opened) -> dict[str, Any]:
    """The voice that the page asks for next."""
    request = await opened.gateway.request()
    assert request.WhichOneof("request") == "set_voice"
    kind = request.set_voice.WhichOneof("source")
    return {kind: getattr(request.set_voice, kind), "token": request.set_voice.voice_token}


async def open_clip_form(opened):
    settings = await opened.settings()
    await settings.get_by_text("Speak with the voice of a clip").click()
    return settings


async def test_a_speaker_is_chosen_and_confirmed(opened):
    await opened.start()
    settings = await opened.settings()
    await settings.get_by_label("Voice of the replies").select_option("warm")
    assert await set_voice(opened) == {"speaker": 4, "token": ""}
    opened.gateway.send(0, voice_set={})
    await expect(settings.locator("#voice-status")).to_have_text("The next replies are spoken by warm.")
    await opened.close_settings()
    await expect(opened.page.locator(".note")).to_have_text("The next replies are spoken by warm.")
    await opened.page.reload()
    await opened.start()  # the choice outlasts the visit
    assert await set_voice(opened) == {"speaker": 4, "token": ""}


async def test_a_file_becomes_a_voice_that_is_kept_by_name(opened, tmp_path):
    clip = tmp_path / "ada.wav"
    write_wav(clip, speak("good morning my name is ada", 16_000), 16_000)
    await opened.start()
    settings = await open_clip_form(opened)
    use = settings.get_by_role("button", name="Use this voice")
    await expect(use).to_be_disabled()
    await settings.get_by_label("Or choose a file").set_input_files(clip)
    await settings.get_by_label("Name to keep the voice by").fill("Ada")
    await settings.get_by_label("What is said").fill("good morning")
    await use.click()  # without consent
    assert not opened.voices.uploads
    await settings.get_by_label("The person in the clip agrees").check()
    await use.click()
    await expect(settings.locator("#clip-status")).to_have_text("The clip says: “good morning”")
    (upload,) = opened.voices.uploads
    assert upload == {"audio": clip.read_bytes(), "text": b"good morning", "name": b"Ada", "consent": b"true"}
    assert await set_voice(opened) == {"registered": "Ada", "token": "secret"}
    kept = await opened.page.evaluate("localStorage.getItem('oviya-voices')")
    assert json.loads(kept) == [{"name": "Ada", "voiceToken": "secret", "kept": True}]
    await settings.get_by_role("button", name="Forget this voice").click()
    assert await set_voice(opened) == {"speaker": 0, "token": ""}
    assert opened.voices.deleted == [("Ada", "secret")]
    assert await opened.page.evaluate("localStorage.getItem('oviya-voices')") == "[]"


async def test_a_clip_is_recorded_while_the_session_hears_nothing(opened, tmp_path):
    await opened.start()
    async with asyncio.timeout(PATIENCE_S):
        await opened.gateway.heard_speech.wait()
    await opened.page.evaluate("globalThis.sessionTrack = microphoneTrack")
    settings = await open_clip_form(opened)
    await settings.get_by_role("button", name="Record").click()
    stop = settings.get_by_role("button", name="Stop recording (2 of 30 s)")
    await expect(stop).to_be_visible(timeout=PATIENCE_S * 1000)
    assert not await opened.page.evaluate("sessionTrack.enabled")
    await stop.click()
    await expect(settings.locator("#clip-preview")).to_be_visible()
    await browser.wait_until(opened.page, "sessionTrack.enabled && microphoneTrack.readyState === 'ended'", PATIENCE_S)
    await settings.get_by_label("The person in the clip agrees").check()
    await settings.get_by_role("button", name="Use this voice").click()
    assert await set_voice(opened) == {"registered": "f3a9", "token": "secret"}
    assert length_s(opened.voices.uploads[0]["audio"], tmp_path) > 1
    assert await opened.page.evaluate("localStorage.getItem('oviya-voices')") == "[]"  # no name: not kept
    await expect(settings.get_by_label("Voice of the replies").locator("option:checked")).to_have_text("Clip 1")


def length_s(recording: bytes, folder: Path) -> float:
    """The length of a sound file in seconds."""
    path = folder / "recording"
    path.write_bytes(recording)
    with SoundFile(path) as file:
        return len(file.read()) / file.sample_rate_hz


async def test_the_reason_for_a_refusal_is_shown(opened, tmp_path):
    clip = tmp_path / "short.wav"
    write_wav(clip, speak("hi", 16_000), 16_000)
    opened.voices.refusal = {"type": "InvalidInput", "message": REASON, "hint": "record a longer clip"}
    settings = await open_clip_form(opened)
    await settings.get_by_label("Or choose a file").set_input_files(clip)
    await settings.get_by_label("The person in the clip agrees").check()
    await settings.get_by_role("button", name="Use this voice").click()
    shown = "The clip has 1.2 s of speech; at least 2.5 s are needed. Record a longer clip."
    await expect(settings.locator("#clip-status")).to_have_text(shown)


async def test_a_gateway_without_voices_offers_no_choice(opened):
    opened.voices.offered = False
    settings = await opened.settings()
    await expect(settings.locator("#voice-settings")).to_be_hidden()
    await expect(settings.get_by_label("Emotion of the replies")).to_be_visible()
