"""The states of a reply, and its interruption at each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from oviya.errors import Unavailable
from services.gateway.voice.pacer import Pacer
from services.gateway.voice.speech_handle import SpeechHandle, SpeechState
from tests.support.segments import make_segment

pytestmark = pytest.mark.virtual_time

PENDING, SYNTHESIZING, PLAYING = SpeechState.PENDING, SpeechState.SYNTHESIZING, SpeechState.PLAYING
DONE, FAILED, INTERRUPTED = SpeechState.DONE, SpeechState.FAILED, SpeechState.INTERRUPTED


def now() -> float:
    return asyncio.get_running_loop().time()


def start(speaking: Callable[[SpeechHandle], Awaitable[None]]) -> SpeechHandle:
    """A reply that `speaking` synthesizes and sends."""
    speech = SpeechHandle()

    async def run() -> None:
        await speaking(speech)

    speech.start(run())
    return speech


def send(speech: SpeechHandle, length_s: float, *, unplayed_s: float = 0.0) -> None:
    """Sends a whole sentence."""
    speech.first_sentence_at = speech.first_sentence_at or now()
    segment = speech.add_segment(make_segment(f"Sentence {len(speech.segments)}.", len(speech.segments)))
    speech.begin_segment(segment)
    speech.add_sent(segment, length_s, now() + unplayed_s)
    segment.complete = True


class Script:
    """Speaks a reply step by step, and counts how often it was stopped."""

    def __init__(self) -> None:
        self.stopped = 0
        self.steps: asyncio.Queue[Callable[[SpeechHandle], None] | None] = asyncio.Queue()

    async def __call__(self, speech: SpeechHandle) -> None:
        try:
            while (step := await self.steps.get()) is not None:
                step(speech)
        except asyncio.CancelledError:
            self.stopped += 1
            raise

    async def do(self, step: Callable[[SpeechHandle], None] | None) -> None:
        """Lets the reply take a step; None ends it."""
        self.steps.put_nowait(step)
        for _ in range(3):
            await asyncio.sleep(0)


def first_sentence(speech: SpeechHandle) -> None:
    speech.first_sentence_at = now()
    speech.add_segment(make_segment("Sentence 0."))


def fail(_speech: SpeechHandle) -> None:
    raise Unavailable("csm", "the script ends it")


async def test_a_reply_passes_its_states_until_its_last_sample_is_played():
    script = Script()
    speech = start(script)
    assert speech.state is PENDING
    await script.do(first_sentence)
    assert speech.state is SYNTHESIZING
    assert (speech.sent_texts, speech.sent_s) == ([], 0.0)
    await script.do(lambda speech: send(speech, 1.0, unplayed_s=0.05))
    assert speech.state is PLAYING
    await script.do(None)
    await speech.wait()
    assert speech.state is PLAYING  # sent whole, and not yet played
    assert 0.9 < speech.played_s < 1.0
    await asyncio.sleep(0.06)
    assert speech.state is DONE
    assert (speech.played_s, speech.sent_texts) == (1.0, ["Sentence 1."])


async def test_a_reply_without_a_sentence_is_done():
    script = Script()
    speech = start(script)
    await script.do(None)
    await speech.wait()
    assert (speech.state, speech.played_s) == (DONE, 0.0)


async def test_a_failure_is_raised_where_the_reply_is_awaited():
    script = Script()
    speech = start(script)
    await script.do(lambda speech: send(speech, 1.0))
    await script.do(fail)
    assert speech.state is FAILED
    assert speech.interrupt() == 1.0
    assert speech.state is FAILED
    with pytest.raises(Unavailable):
        await speech.wait()
    assert speech.sent_texts == ["Sentence 0."]


@pytest.mark.parametrize(
    ("steps", "state", "cut_s"),
    [
        ([], PENDING, 0.0),
        ([first_sentence], SYNTHESIZING, 0.0),
        ([lambda speech: send(speech, 1.0, unplayed_s=9.0)], PLAYING, 0.0),
        ([lambda speech: send(speech, 10.0, unplayed_s=9.0)], PLAYING, 1.0),
        ([lambda speech: send(speech, 10.0)], PLAYING, 10.0),
        ([lambda speech: send(speech, 10.0, unplayed_s=9.0), None], PLAYING, 1.0),
    ],
)
async def test_interrupt_stops_the_reply_once_and_says_where_playback_was_cut(steps, state, cut_s):
    script = Script()
    speech = start(script)
    await asyncio.sleep(0)
    for step in steps:
        await script.do(step)
    assert speech.state is state
    cut = speech.interrupt()
    assert cut == pytest.approx(cut_s, abs=0.05)
    assert speech.state is INTERRUPTED
    await asyncio.sleep(0.01)
    assert speech.interrupt() == speech.played_s == cut
    await speech.wait()
    assert speech.state is INTERRUPTED
    assert script.stopped == (0 if None in steps else 1)


async def test_interrupt_leaves_a_reply_alone_that_was_played_to_its_end():
    script = Script()
    speech = start(script)
    await script.do(lambda speech: send(speech, 1.0))
    await script.do(None)
    assert speech.interrupt() == 1.0
    assert speech.state is DONE


async def test_a_reply_that_is_interrupted_before_its_task_runs_does_nothing():
    script = Script()
    speech = start(script)
    assert speech.interrupt() == 0.0
    await speech.wait()
    assert (speech.state, script.stopped) == (INTERRUPTED, 0)


async def test_cancelling_the_wait_interrupts_the_reply_and_waits_for_its_end():
    ended = asyncio.Event()

    async def slow_to_end(_speech: SpeechHandle) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            ended.set()

    speech = start(slow_to_end)
    waiting = asyncio.create_task(speech.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended.is_set()
    assert speech.state is INTERRUPTED


async def test_played_time_follows_the_pacer():
    pacer, speech = Pacer(0.2), SpeechHandle()
    segment = speech.add_segment(make_segment("One."))
    speech.begin_segment(segment)
    for _ in range(3):
        speech.add_sent(segment, 0.1, await pacer.pace(0.1))
    assert speech.sent_s == pytest.approx(0.3)
    assert speech.played_s == pytest.approx(0.1, abs=0.05)
