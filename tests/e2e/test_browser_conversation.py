"""A long conversation in a real Chromium: ten turns, two interruptions, three back-channels and the voice of a clip.

pytest -m slow tests/e2e/test_browser_conversation.py
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from playwright.async_api import Locator, Page, expect

from benchmarks.demo_voice_measures import RATE_HZ as MEASURE_HZ
from benchmarks.demo_voice_measures import prosody
from oviya.audio.resample import Resampler
from oviya.audio.wav import read_wav, write_wav
from tests.e2e.conftest import RunningMesh
from tests.support import browser, human_speech
from tests.support.browser import RATE_HZ, Said
from tests.support.signal_checks import Samples
from tests.support.speech import plain_words, speak, word_error_rate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TURN_S = 60
"""Patience on a busy machine."""
MAX_WORD_ERROR_RATE = 0.1
HEARD_TOLERANCE_WORDS = 2
"""The page is told what was spoken a word at a time, the gateway cuts by time."""
MIN_PITCH_CHANGE = 0.05
"""Of the mean of log F0.  Measured: 0.12 to 0.33 from the demo voice to the voice of the clip, 0.03 between halves of
the replies in one voice."""
NAME, CLIP_NAME = "Ada", "Clip 1"
INTERRUPTION = "no wait i want to talk about my work"
CLIP = "queue-periodic-announce"
CLIP_TEXT = (
    "all of our representatives are currently busy please stay on the line and your call will be answered by the next "
    "available representative"
)
SPOKEN_WORDS = "document.querySelectorAll('.reply.speaking .word.spoken').length"
USER_TURNS = "document.querySelectorAll('#transcript .turn.user').length"
PHASE = "document.querySelector('#phase').textContent"


@dataclass
class Conversation:
    """The session of a page.

    Attributes:
        page: the page.
        turns: what the user said or typed, one text a turn.
        interrupted: places in `turns` whose reply the user interrupted.
        asides: what the user said without taking a turn.
    """

    page: Page
    turns: list[str] = field(default_factory=list)
    interrupted: list[int] = field(default_factory=list)
    asides: list[str] = field(default_factory=list)

    async def say(self, text: str) -> None:
        """Takes a turn by voice; returns in the middle of the reply."""
        await browser.say(self.page, speak(text, RATE_HZ))
        await self._replies(text)

    async def type(self, text: str) -> None:
        """Takes a turn by keyboard; returns in the middle of the reply."""
        await self.page.get_by_label("Type a message").fill(text)
        await self.page.keyboard.press("Enter")
        await self._replies(text)

    async def interrupt(self, text: str) -> None:
        """Takes a turn by voice while the reply to the last one is spoken."""
        self.interrupted.append(len(self.turns) - 1)
        await self.say(text)

    async def stop(self) -> None:
        """Says "stop" while the reply to the last turn is spoken."""
        self.interrupted.append(len(self.turns) - 1)
        await self._aside("stop")

    async def back_channel(self, text: str) -> None:
        """Shows that the user listens; the reply goes on."""
        await self._aside(text)
        await browser.wait_until(self.page, f"{PHASE} === 'Speaking…'", TURN_S)

    async def rest(self) -> None:
        """Waits for the end of the reply."""
        await browser.wait_until(self.page, f"{PHASE} === 'Listening. Speak at any time.'", TURN_S)

    async def texts(self, selector: str) -> list[str]:
        """The texts of some elements of the transcript."""
        return [text.strip() for text in await self.page.locator(f"#transcript {selector}").all_text_contents()]

    async def _aside(self, text: str) -> None:
        self.asides.append(text)
        await browser.say(self.page, speak(text, RATE_HZ))
        await expect(self.page.locator(".note.aside")).to_have_count(len(self.asides), timeout=TURN_S * 1000)

    async def _replies(self, text: str) -> None:
        """Waits until words of the reply to this turn have been spoken, and the status line says so."""
        self.turns.append(text)
        speaking = f"{USER_TURNS} === {len(self.turns)} && {SPOKEN_WORDS} > 2 && {PHASE} === 'Speaking…'"
        await browser.wait_until(self.page, speaking, TURN_S)


@pytest.fixture
async def conversation(mesh: RunningMesh) -> AsyncIterator[Conversation]:
    script = browser.OPEN_MICROPHONE
    async with browser.open_page(mesh.http_url, "--use-fake-ui-for-media-stream", script=script) as page:
        await page.get_by_role("button", name="Start talking").click()
        await expect(page.locator("#connection")).to_have_text("Connected", timeout=TURN_S * 1000)
        await browser.start_recording(page)
        yield Conversation(page)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Eight seconds of a person's speech; of flite's where the recordings are not installed."""
    recorded = human_speech.FOLDER.is_dir()
    samples = human_speech.read_prompt(CLIP) if recorded else speak(CLIP_TEXT, 16_000, "rms")
    path = tmp_path / "clip.wav"
    write_wav(path, samples, 16_000)
    return path


async def use_voice(page: Page, clip: Path) -> str:
    """Makes a clip the voice of the replies; returns what the page says of it."""
    await page.get_by_role("button", name="Settings").click()
    settings = page.get_by_role("dialog", name="Settings")
    await settings.get_by_text("Speak with the voice of a clip").click()
    await settings.get_by_label("Or choose a file").set_input_files(clip)
    await settings.get_by_label("The person in the clip agrees").check()
    await settings.get_by_role("button", name="Use this voice").click()
    confirmed = f"The next replies are spoken by {CLIP_NAME}."
    await expect(settings.locator("#voice-status")).to_have_text(confirmed, timeout=TURN_S * 1000)
    says = await settings.locator("#clip-status").text_content()
    await page.get_by_role("button", name="Close").click()
    assert says
    return says.removeprefix("The clip says: ")


async def test_ten_turns(conversation, clip):
    page = conversation.page
    await conversation.type(f"Hello, my name is {NAME}.")
    await conversation.rest()
    await conversation.say("what should i do when i feel lonely")
    await conversation.back_channel("yeah")
    await conversation.rest()
    await conversation.say("what should i do when i am angry with my brother")
    await conversation.interrupt(INTERRUPTION)
    await conversation.rest()
    await conversation.type("What should I do when I cannot sleep at night?")
    await conversation.back_channel("okay")
    await conversation.rest()

    transcript_of_clip = await use_voice(page, clip)
    await conversation.say("what should i do when i feel worried")
    await conversation.back_channel("yeah")
    await conversation.rest()
    await conversation.say("what should i do when i am sad about my friend")
    await conversation.stop()
    await conversation.rest()
    await conversation.type("I am afraid of tomorrow.")
    await conversation.rest()
    await conversation.say("my sister lives in another country")
    await conversation.rest()
    await conversation.type("What is my name?")
    await conversation.rest()

    recording, said = await browser.take_recording(page)
    await check_transcript(conversation, said)
    assert word_error_rate([transcript_of_clip], [CLIP_TEXT]) <= MAX_WORD_ERROR_RATE
    check_voices(recording, said, clip)
    assert await conversation.texts(".note.failure") == []
    await expect(page.locator("#problem")).to_be_empty()
    logged = [message for message in await page.console_messages() if message.type in ("error", "warning")]
    assert [message.text for message in logged] == []


async def check_transcript(conversation: Conversation, said: list[Said]) -> None:
    """Ten turns, each with a reply that was spoken to its end or cut where it was heard; the asides beside them."""
    shown = await conversation.texts(".turn.user .words")
    assert len(shown) == len(conversation.turns) == 10
    assert word_error_rate(shown, conversation.turns) <= MAX_WORD_ERROR_RATE, shown
    asides = await conversation.texts(".note.aside")
    assert [plain_words(aside) for aside in asides] == [["you", text] for text in conversation.asides]
    dropped = [entry.value["reason"] for entry in said if entry.name == "turnDropped"]
    assert dropped == ["DROP_REASON_BACKCHANNEL"] * 3 + ["DROP_REASON_STOP_PHRASE"]

    replies = await conversation.page.locator("#transcript .turn.user + .turn.reply").all()
    turns = sorted({entry.turn for entry in said if entry.name == "replySentence"})
    assert len(replies) == len(turns) == len(conversation.turns)
    for place, (reply, turn) in enumerate(zip(replies, turns, strict=True)):
        of_turn = [entry for entry in said if entry.turn == turn]
        ends = [entry.name for entry in of_turn if entry.name in ("replyEnded", "interrupted", "turnFailed")]
        if place in conversation.interrupted:
            assert ends == ["interrupted"]
            await check_cut(reply, of_turn)
        else:
            assert ends == ["replyEnded"]
            await check_whole(reply, of_turn)
    assert NAME in (await conversation.texts(".turn.reply .words"))[-1]


async def check_whole(reply: Locator, of_turn: list[Said]) -> None:
    """Shows every sentence, and every word as spoken."""
    text = await reply.locator(".words").text_content() or ""
    assert text.strip() == " ".join(sentences(of_turn))
    assert await reply.locator(".word:not(.spoken)").all_text_contents() == []


async def check_cut(reply: Locator, of_turn: list[Said]) -> None:
    """Shows the words that were spoken before the interruption, and the rest as not heard."""
    heard = (await reply.locator(".heard").text_content() or "").split()
    unheard = (await reply.locator(".unheard").text_content() or "").split()
    announced = " ".join(sentences(of_turn)).split()
    assert unheard
    assert (heard + unheard)[: len(announced)] == announced
    last = [entry.value for entry in of_turn if entry.name == "wordsSpoken"][-1]
    index, chars = last.get("index", 0), last.get("chars", 0)
    spoken = " ".join([*sentences(of_turn)[:index], sentences(of_turn)[index][:chars]]).split()
    assert abs(len(heard) - len(spoken)) <= HEARD_TOLERANCE_WORDS, (heard, spoken)


def sentences(of_turn: list[Said]) -> list[str]:
    """The sentences of a reply; after a back-channel some are announced again."""
    announced = {entry.value.get("index", 0): entry.value["text"] for entry in of_turn if entry.name == "replySentence"}
    return [announced[index] for index in sorted(announced)]


def check_voices(recording: Samples, said: list[Said], clip: Path) -> None:
    """With the clip, the pitch of the replies moves towards that of the clip."""
    [chosen] = (entry.at for entry in said if entry.name == "voiceSet")
    replies = replies_of_csm(recording, said)
    before = pitch(np.concatenate([samples for at, samples in replies if at < chosen]), RATE_HZ)
    after = pitch(np.concatenate([samples for at, samples in replies if at > chosen]), RATE_HZ)
    towards = np.sign(pitch(*read_wav(clip)) - before)
    assert towards * (after - before) > MIN_PITCH_CHANGE, (before, after)


def replies_of_csm(recording: Samples, said: list[Said]) -> list[tuple[int, Samples]]:
    """Where each reply begins and its sound; without those that the fallback voice spoke on a busy machine."""
    replies = []
    for turn in sorted({entry.turn for entry in said if entry.name == "replySentence"}):
        announced = [entry for entry in said if entry.turn == turn and entry.name == "replySentence"]
        [end] = (entry.at for entry in said if entry.turn == turn and entry.name in ("replyEnded", "interrupted"))
        if {entry.value["voice"] for entry in announced} == {"VOICE_CSM"}:
            replies.append((announced[0].at, recording[announced[0].at : end]))
    return replies


def pitch(samples: Samples, rate_hz: int) -> float:
    """The mean of log F0."""
    resampler = Resampler(rate_hz, MEASURE_HZ)
    return prosody(np.concatenate((resampler.push(samples), resampler.flush()))).log_f0
