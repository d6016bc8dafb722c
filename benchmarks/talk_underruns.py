"""Section `underruns`: minutes of conversation, in which the reply's sound should never run out."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import aiohttp

from benchmarks.talk_mesh import Run, progress
from benchmarks.talk_relay import LossyRelay
from benchmarks.talk_rtc import RtcUser
from benchmarks.talk_sounds import STORIES, Sound, sentences_of
from benchmarks.talk_user import TalkUser
from tests.support.speech import speak

QUESTIONS = ("what time is it", "tell me a story", "what do you think about that", "how do you bake bread")
BACKCHANNEL = Sound("backchannel", "yeah", speak("yeah"))
SENTENCES = 4
"""Sentences of a reply: some ten seconds."""
SPEAK_AFTER_S = 3.0
"""Time from the start of a reply to a back-channel or an interruption, in seconds."""
REPLY_S = 40.0
REPLY_ENDS = ("reply_ended", "interrupted", "turn_failed")
LOSS, JITTER_S = 0.05, 0.080
UNDERRUNS = re.compile(r"(?m)^oviya_gateway_playout_underruns_total(?:\{.*?\})? (\S+)$")


async def converse(run: Run, user: TalkUser | RtcUser, minutes: float) -> int:
    """Asks questions; of four replies, one gets a back-channel and one is interrupted.  Returns the number of replies.

    Raises:
        TimeoutError: a question was not answered.
    """
    voices = ("slt", "rms", "awb")
    until_s = user.now_s + 60 * minutes
    replies = 0
    while user.now_s < until_s:
        run.answer_with(sentences_of(STORIES[replies % len(STORIES)], replies, SENTENCES))
        text = QUESTIONS[replies % len(QUESTIONS)]
        _, end_s = user.say(Sound("flite", text, speak(text, voice=voices[replies % len(voices)])))
        begun = await user.wait_for(lambda arrival: arrival.kind == "reply_sentence", REPLY_S, end_s)
        if begun is None:
            raise TimeoutError(f"{text!r} was not answered: {user.timeline(end_s)[-5:]}")
        replies += 1
        if replies % 4 == 0:
            await asyncio.sleep(SPEAK_AFTER_S)
            continue
        if replies % 4 == 2:
            await asyncio.sleep(SPEAK_AFTER_S)
            user.say(BACKCHANNEL)
        await user.wait_for(lambda arrival: arrival.kind in REPLY_ENDS, REPLY_S, begun.at_s)
        await asyncio.sleep(1.0)
    return replies


async def measure_underruns(run: Run) -> None:
    """Converses over gRPC, and over WebRTC with loss and jitter."""
    minutes = run.options.minutes
    async with TalkUser(run.stub) as talker:
        for _ in progress(range(1), description=f"{minutes:g} minutes over gRPC"):
            replies = await converse(run, talker, minutes)
        gaps = talker.loudspeaker.underruns
    run.figures["underruns"], run.counts["underruns"] = len(gaps), replies
    cases: list[dict[str, Any]] = [{"over": "gRPC", "length_s": gap.length_s, "at_s": gap.at_s} for gap in gaps]

    http_url = run.mesh.plan.http_url
    at_gateway = await gateway_underruns(http_url)
    async with RtcUser(http_url, LossyRelay(LOSS, JITTER_S)) as browser:
        for _ in progress(range(1), description=f"{minutes:g} minutes over WebRTC"):
            replies = await converse(run, browser, minutes)
        playout, gaps = browser.played()
    at_gateway = await gateway_underruns(http_url) - at_gateway
    run.figures["underruns lossy"], run.counts["underruns lossy"] = len(gaps) + at_gateway, replies
    run.figures["packets played"] = playout.played
    run.figures["underruns at the gateway"] = at_gateway
    run.cases["underruns"] = cases + [{"over": "WebRTC", "length_s": gap.length_s, "at_s": gap.at_s} for gap in gaps]


async def gateway_underruns(http_url: str) -> float:
    """Returns how often the gateway's own playout to browsers has run dry inside a reply."""
    async with aiohttp.ClientSession() as http, http.get(f"{http_url}/metrics") as response:
        response.raise_for_status()
        found = UNDERRUNS.search(await response.text())
    if found is None:
        raise LookupError("the gateway's metrics have no playout underruns")
    return float(found[1])
