"""The drawn parts of the page in a real Chromium, fed with events, sound and reports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Page, expect

from oviya.emotions.tables import load_emotions
from tests.support import browser
from tests.support.page import served_page

WIDE, PHONE = (1400, 900), (360, 640)
HERE_S = 20.0
"""Patience on a busy machine."""

# Pictures as app.js makes them; sound(side, hertz) starts a tone on one side and returns what stops it.
SET_UP = """
async () => {
  const {Pictures} = await import('/page/js/pictures/panel.js');
  globalThis.pictures = new Pictures(document.getElementById('pictures'));
  const context = new AudioContext();
  const sides = {user: context.createMediaStreamDestination(), reply: context.createMediaStreamDestination()};
  pictures.streams({user: sides.user.stream, reply: sides.reply.stream});
  globalThis.tones = {};
  globalThis.sound = (side, hertz) => {
    tones[side]?.disconnect();
    if (!hertz) return;
    const tone = new OscillatorNode(context, {frequency: hertz});
    tones[side] = new GainNode(context, {gain: 0.3});
    tone.connect(tones[side]).connect(sides[side]);
    tone.start();
  };
}
"""
# For each pixel row of one side: how far its newest columns are from the picture's ground.
ROWS = """
(side) => {
  const canvas = document.querySelector('.spectrogram canvas');
  const pen = canvas.getContext('2d');
  const tall = Math.floor((canvas.height - 6) / 2);
  const top = side === 'user' ? 0 : canvas.height - tall;
  const {data} = pen.getImageData(canvas.width - 12, top, 1, tall);
  const ground = getComputedStyle(document.querySelector('.picture')).backgroundColor.match(/\\d+/g).map(Number);
  return Array.from({length: tall}, (_, row) => [0, 1, 2].reduce(
    (far, i) => far + Math.abs(data[4 * row + i] - ground[i]), 0));
}
"""
# Contrast (WCAG 2.2) of every text in the pictures with the ground behind it: [ratio, text].
CONTRASTS = """
() => {
  const rgb = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => rgb(color).slice(0, 3).map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, i) => sum + value * [0.2126, 0.7152, 0.0722][i], 0);
  const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  const ground = (element) => {
    const color = getComputedStyle(element).backgroundColor;
    const [, , , alpha = 1] = rgb(color);
    return alpha === 1 ? color : ground(element.parentElement);
  };
  const found = [];
  for (const element of document.querySelectorAll('#pictures *')) {
    const text = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data).join('').trim();
    if (!text || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    found.push([ratio(element.namespaceURI.endsWith('svg') ? style.fill : style.color, ground(element)), text]);
  }
  return found;
}
"""
# The middle of each marker on the screen.
PLACES = """
() => Object.fromEntries(['heard', 'words', 'voice', 'spoken'].map((kind) => {
  const shape = document.querySelector(`.marker.${kind} > :first-child`);
  const {x, y, width, height} = shape.getBoundingClientRect();
  return [kind, [x + width / 2, y + height / 2]];
}))
"""
MINUS, TIMES, NONE = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}", "\N{EN DASH}"

FEELING = {
    "emotions": [{"emotion": "melancholic", "score": 0.6}, {"emotion": "lonely", "score": 0.3}],
    "valence": -0.6,
    "arousal": -0.4,
    "confidence": 0.62,
    "tone": {"reason": "sadness meets warmth"},
    "text": {"labels": [{"label": "sadness", "score": 0.9}], "valence": -0.7, "arousal": -0.3, "confidence": 0.8},
    "voice": {"labels": [{"label": "sad", "score": 0.5}], "arousal": -0.5, "notes": ["pitch 2.4 st lower"]},
}
PLAN = {"emotion": "comforting", "style": "calm", "pitchScale": 0.88, "rateScale": 0.88, "energyScale": 0.75}
STAGES = {"turnEnd": "0.31s", "finalTranscript": "0.29s", "firstSentence": "0.42s", "firstAudio": "0.61s"}


def serving(model: str) -> dict[str, Any]:
    return {"state": "serving", "needed": True, "model": model, "device": "cpu", "trained": True}


REPORT = {
    "ready": True,
    "draining": False,
    "services": {
        "stt": serving("tiny.en"),
        "brain": serving("listener"),
        "emotion": {"state": "missing", "needed": False},
        "csm": {**serving("random"), "trained": False},
        "mimi": {"state": "starting", "needed": False},
    },
    "voice": {"name": "fallback", "reason": ""},
    "degraded": [{"service": "brain", "message": "the model does not answer"}],
}


@asynccontextmanager
async def opened(viewport: tuple[int, int] = WIDE, **media: Any) -> AsyncIterator[Page]:
    """Opens the page with the pictures alone; fails when one throws, logs an error or asks another host."""
    async with (
        served_page() as url,
        browser.chromium("--autoplay-policy=no-user-gesture-required") as chromium,
    ):
        context = await chromium.new_context(viewport={"width": viewport[0], "height": viewport[1]}, **media)
        page = await context.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
        page.on("request", lambda asked: None if asked.url.startswith(url) else faults.append(asked.url))
        await page.route("**/js/app.js", lambda route: route.fulfill(body="", content_type="text/javascript"))
        await page.goto(url)
        await page.evaluate(SET_UP)
        await expect(page.locator(".emotion")).to_have_count(49)
        yield page
        assert not faults


async def event(page: Page, name: str, value: dict[str, Any] | None = None, turn: int = 0) -> None:
    await page.evaluate("event => pictures.event(event)", {"name": name, "turn": turn, "value": value or {}})


def brightest(rows: list[int]) -> float:
    """Where the brightest row is: 0 at the bottom, 1 at the top."""
    return 1 - rows.index(max(rows)) / len(rows)


async def test_the_spectrogram_shows_each_side_at_its_frequency_and_stands_still_in_silence():
    async with opened() as page:
        position = await page.evaluate("async hz => (await import('/page/js/pictures/mel.js')).axisPosition(hz)", 1000)
        await page.evaluate("sound('user', 1000)")
        await browser.wait_until(page, "pictures.spectrogram.total > 20", HERE_S)
        rows = await page.evaluate(ROWS, "user")
        assert brightest(rows) == pytest.approx(position, abs=0.06)
        assert max(rows) > 150
        assert max(await page.evaluate(ROWS, "reply")) < 10

        await page.evaluate("sound('user', 0), sound('reply', 300)")
        total = await page.evaluate("pictures.spectrogram.total")
        await browser.wait_until(page, f"pictures.spectrogram.total > {total + 20}", HERE_S)
        assert brightest(await page.evaluate(ROWS, "reply")) < position - 0.15
        assert max(await page.evaluate(ROWS, "user")) < 10

        await page.evaluate("sound('reply', 0)")
        await browser.wait_until(page, "pictures.spectrogram.quietMs > 2000", HERE_S)
        total = await page.evaluate("pictures.spectrogram.total")
        await page.evaluate("new Promise((resolve) => setTimeout(resolve, 500))")  # ten columns of sound
        assert await page.evaluate("pictures.spectrogram.total") == total
        await page.emulate_media(color_scheme="dark")
        await page.evaluate("document.dispatchEvent(new Event('themechange'))")
        assert max(await page.evaluate(ROWS, "user")) < 10  # the ground is dark, too
        await page.evaluate("sound('user', 1000)")
        await browser.wait_until(page, f"pictures.spectrogram.total > {total}", HERE_S)
        assert await page.evaluate("pictures.spectrogram.marks.map(({kind}) => kind)") == ["gap"]
        await page.evaluate("pictures.streams({})")
        assert await page.evaluate("[pictures.spectrogram.timer, pictures.listeners.context]") == [0, None]


async def test_turns_are_marked_in_the_spectrogram():
    async with opened() as page:
        await page.evaluate("sound('user', 1000)")
        await browser.wait_until(page, "pictures.spectrogram.total > 5", HERE_S)
        for name in ("speechStarted", "final", "interrupted", "partial"):
            await event(page, name)
        kinds = await page.evaluate("pictures.spectrogram.marks.map(({kind}) => kind)")
        assert kinds == ["speech", "final", "interruption"]
        column = await page.evaluate("pictures.spectrogram.marks[2].column")
        await browser.wait_until(page, f"pictures.spectrogram.total > {column + 10}", HERE_S)
        # the line of the interruption crosses the gap between both sides, where nothing else is drawn
        assert await page.evaluate("""() => {
          const canvas = document.querySelector('.spectrogram canvas');
          const {data} = canvas.getContext('2d').getImageData(0, canvas.height / 2, canvas.width, 1);
          const [red, green, blue] = [0xa3, 0x35, 0x2b];
          return Array.from({length: canvas.width}, (_, x) => data.slice(4 * x, 4 * x + 4))
            .filter(([r, g, b, a]) => a > 100 && r === red && g === green && b === blue).length;
        }""")
        await expect(page.locator("#picture-sound")).to_contain_text("replies interrupted: 1")
        emptied = "(pictures.reset(), [pictures.spectrogram.total, pictures.spectrogram.marks.length])"
        assert await page.evaluate(emptied) == [0, 0]


async def test_people_who_dislike_motion_see_levels():
    async with opened(reduced_motion="reduce") as page:
        await page.evaluate("sound('reply', 300)")
        await browser.wait_until(page, "pictures.spectrogram.levels.reply > 0.5", HERE_S)
        assert await page.evaluate("pictures.spectrogram.levels.user") == 0
        assert await page.evaluate("pictures.spectrogram.total") == 0
        await expect(page.get_by_role("img", name="Levels of the sound")).to_be_visible()
        await event(page, "userFeeling", FEELING)
        assert await page.evaluate("document.getAnimations().length") == 0


async def test_the_map_shows_what_is_heard_and_what_is_spoken():
    async with opened() as page:
        await event(page, "userFeeling", FEELING)
        await event(page, "replySentence", {"text": "I am here.", "plan": PLAN})
        heard, spoken = page.locator(".marker.heard"), page.locator(".marker.spoken")
        await expect(heard).to_have_attribute("data-valence", f"{MINUS}0.60")
        await expect(heard).to_have_attribute("data-arousal", f"{MINUS}0.40")
        await expect(heard).to_have_text("heard: melancholic")
        await expect(spoken).to_have_text("spoken: comforting")
        comforting = load_emotions()["comforting"]
        await expect(spoken).to_have_attribute("data-valence", f"+{comforting.valence:.2f}")
        await expect(page.locator(".marker.voice")).to_have_attribute("data-valence", "+0.00")  # omitted: 0
        await browser.wait_until(
            page, "document.querySelector('.emotion-map').getAnimations({subtree: true}).length === 0", HERE_S
        )
        places = await page.evaluate(PLACES)
        assert places["words"][0] < places["heard"][0] < places["voice"][0] < places["spoken"][0]
        assert places["words"][1] < places["heard"][1] < places["voice"][1]  # arousal points up
        dot = await page.locator("[data-emotion=comforting] .dot").bounding_box()
        assert dot
        assert places["spoken"] == pytest.approx([dot["x"] + dot["width"] / 2, dot["y"] + dot["height"] / 2], abs=1)
        words = page.locator(".feelings")
        await expect(words).to_contain_text(f"melancholic 60 %, lonely 30 %; valence {MINUS}0.60, arousal {MINUS}0.40")
        await expect(words).to_contain_text("confidence 62 %. Answer: sadness meets warmth.")
        await expect(words).to_contain_text("sadness 90 %")
        await expect(words).to_contain_text("pitch 2.4 st lower")
        await expect(words).to_contain_text(f"comforting, style calm; pitch {TIMES}0.88")
        for emotion in ("melancholic", "comforting"):
            await expect(page.locator(f"[data-emotion={emotion}]")).to_have_attribute("aria-selected", "true")
        await expect(page.locator("[aria-selected=true]")).to_have_count(2)
        await page.evaluate("pictures.reset()")
        await expect(page.locator(".marker:not([hidden])")).to_have_count(0)
        await expect(page.locator("[aria-selected=true]")).to_have_count(0)


async def test_the_arrow_keys_reach_every_emotion():
    async with opened() as page:
        await page.locator("[data-emotion=neutral]").focus()
        reached = set()
        for key in ("ArrowLeft", "ArrowRight"):
            for _ in range(49):
                reached.add(await page.evaluate("document.activeElement.dataset.emotion"))
                await page.keyboard.press(key)
        assert reached == set(load_emotions())
        await expect(page.locator(".emotion[tabindex='0']")).to_have_count(1)
        await expect(page.locator(".hovered")).to_have_text("joyful excited: valence +0.85, arousal +0.60, style joy")
        await page.keyboard.press("ArrowUp")
        await expect(page.locator(".hint")).to_have_text("defiant")


async def test_the_emotions_are_loaded_again_after_a_failure():
    async with opened() as page:
        await page.route("**/emotions.json", lambda route: route.fulfill(json={}))
        await page.evaluate("pictures.feelings.loaded = false, pictures.feelings.load()")
        await expect(page.locator(".hovered")).to_contain_text("could not be loaded")
        await page.unroute("**/emotions.json")
        await page.evaluate("pictures.feelings.map.setEmotions([])")
        await page.evaluate("report => pictures.readiness(report)", REPORT)
        await expect(page.locator(".emotion")).to_have_count(49)


async def test_the_waterfall_shows_the_last_turn_and_the_medians():
    async with opened() as page:
        for turn, first_sentence in enumerate(("0.42s", "0.62s", "0.52s")):
            await event(page, "replyEnded", {"latency": {**STAGES, "firstSentence": first_sentence}}, turn)
        rows = page.locator("#picture-latency tbody tr")
        cells = [await rows.nth(n).locator("th, .time").all_text_contents() for n in range(6)]
        assert cells == [
            ["Turn is over", "310 ms", "310 ms"],
            ["Words are final", "290 ms", "290 ms"],
            ["First sentence", "520 ms", "520 ms"],
            ["First voice frame", NONE, NONE],
            ["First sound is sent", "610 ms", "610 ms"],
            ["First sound arrives here", NONE, NONE],
        ]
        await expect(page.get_by_role("table", name="medians (│) of 3 turns")).to_be_visible()
        bar = page.locator("[data-stage=firstSentence] rect")
        # on an axis of 1 s, from the stage before it in time on
        assert float(await bar.get_attribute("x") or 0) == pytest.approx(31)
        assert float(await bar.get_attribute("width") or 0) == pytest.approx(21)
        early = page.locator("[data-stage=finalTranscript] rect")
        assert float(await early.get_attribute("x") or 0) == 0
        assert float(await early.get_attribute("width") or 0) == pytest.approx(29)
        await expect(page.locator("[data-stage=firstFrame] rect")).to_have_count(0)


async def test_the_first_sound_is_timed_where_it_arrives():
    async with opened() as page:
        await browser.wait_until(page, "pictures.listeners.context.state === 'running'", HERE_S)
        await event(page, "replySentence", {"text": "One.", "plan": PLAN})
        waited_s = await page.evaluate("""async () => {
          const start = performance.now();
          await new Promise((resolve) => setTimeout(resolve, 300));
          const waited = (performance.now() - start) / 1000;
          sound('reply', 300);
          return waited;
        }""")
        await browser.wait_until(page, "pictures.firstSound.delays.has(0)", HERE_S)
        delay_s = await page.evaluate("pictures.firstSound.delays.get(0)")
        assert waited_s - 0.02 < delay_s < waited_s + 3
        await event(page, "replySentence", {"text": "Two.", "plan": PLAN})  # a later sentence changes nothing
        await event(page, "replyEnded", {"latency": STAGES})
        shown = page.locator("[data-stage=firstHeard] .time").first
        await expect(shown).to_have_text(f"{round((0.61 + delay_s) * 1000):,} ms")


async def test_the_services_are_shown_with_state_model_and_device():
    async with opened() as page:
        row = page.locator("#picture-mesh li")
        await expect(row).to_have_count(6)
        await expect(page.locator("[data-service=stt]")).to_contain_text("unknown")
        await page.evaluate("report => pictures.readiness(report)", REPORT)
        states = await row.evaluate_all("all => all.map((one) => `${one.dataset.service} ${one.dataset.state}`)")
        assert states == ["gateway ready", "stt ready", "brain degraded", "emotion away", "csm ready", "mimi starting"]
        await expect(page.locator("[data-service=stt]")).to_contain_text("tiny.en · cpu")
        await expect(page.locator("[data-service=csm]")).to_contain_text("random · untrained · cpu")
        await expect(page.locator("[data-service=brain]")).to_contain_text("the model does not answer")
        await event(page, "degraded", {"service": "stt", "message": "does not hear"})
        await expect(page.locator("[data-service=stt]")).to_have_attribute("data-state", "degraded")
        await page.evaluate("report => pictures.readiness(report)", {**REPORT, "draining": True, "services": {}})
        await expect(page.locator("[data-service=gateway]")).to_contain_text("it is stopping")
        await expect(page.locator("#picture-mesh")).to_contain_text("only with its access token")
        await page.evaluate("pictures.readiness(null)")
        await expect(page.locator("[data-service=gateway]")).to_have_attribute("data-state", "away")


async def test_a_phone_opens_one_part_at_a_time():
    async with opened(PHONE) as page:
        await expect(page.locator(".picture:visible")).to_have_count(0)
        await page.evaluate("sound('user', 1000)")
        await page.get_by_role("button", name="Sound").click()
        await expect(page.get_by_role("button", name="Sound")).to_have_attribute("aria-expanded", "true")
        await browser.wait_until(page, "pictures.spectrogram.total > 5", HERE_S)
        await page.get_by_role("button", name="Emotions").press("Enter")
        await expect(page.locator(".picture:visible")).to_have_count(1)
        await expect(page.get_by_role("listbox", name="Emotions")).to_be_visible()
        await browser.wait_until(page, "pictures.spectrogram.timer === 0", HERE_S)  # nobody sees it
        assert await page.evaluate("document.documentElement.scrollWidth") == PHONE[0]
        await page.get_by_role("button", name="Emotions").click()
        await expect(page.locator(".picture:visible")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_has_enough_contrast(scheme):
    async with opened(color_scheme=scheme) as page:
        await event(page, "userFeeling", FEELING)
        await event(page, "replySentence", {"text": "I am here.", "plan": PLAN})
        await event(page, "replyEnded", {"latency": STAGES})
        await page.evaluate("report => pictures.readiness(report)", REPORT)
        contrasts = await page.evaluate(CONTRASTS)
        assert len(contrasts) > 50
        assert not [(ratio, text) for ratio, text in contrasts if ratio < 4.5]
