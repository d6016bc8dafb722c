"""The states of a reply: its interruption at each of them, and pauses from which it goes on."""

from __future__ import annotations

import asyncio

import pytest

from oviya.errors import Unavailable
from services.gateway.voice.speech_handle import SpeechHandle, SpeechState
from tests.support.segments import PIECE_S, new_speech, say, start, synthesize

pytestmark = pytest.mark.virtual_time

TEN = "one two three four five six seven eight nine ten"


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_reply_passes_its_states_until_its_last_sample_is_played():
    speech, _ = new_speech()
    go_on = asyncio.Event()

    async def speaking(speech: SpeechHandle) -> None:
        await go_on.wait()
        synthesize(speech, "Never sent.", 1.0)
        go_on.clear()
        await go_on.wait()
        await say(speech, "Sent.", 1.0)

    start(speech, speaking)
    assert speech.state is SpeechState.PENDING
    go_on.set()
    await settle()
    assert speech.state is SpeechState.SYNTHESIZING
    go_on.set()
    await asyncio.sleep(0.6)
    assert speech.state is SpeechState.PLAYING
    assert speech.played_s == pytest.approx(0.6)
    await speech.wait()
    assert asyncio.get_running_loop().time() == pytest.approx(1.0)
    assert speech.state is SpeechState.DONE
    assert (speech.played_s, speech.sent_texts) == (pytest.approx(1.0), ["Sent."])


async def test_a_reply_without_a_sentence_is_done():
    speech, _ = new_speech()
    start(speech, lambda _: asyncio.sleep(0))
    await speech.wait()
    assert (speech.state, speech.played_s) == (SpeechState.DONE, 0.0)


async def test_a_failure_is_raised_where_the_reply_is_awaited():
    speech, _ = new_speech()

    async def speaking(speech: SpeechHandle) -> None:
        await say(speech, "Sent.", 1.0)
        raise Unavailable("csm", "the script ends it")

    start(speech, speaking)
    with pytest.raises(Unavailable):
        await speech.wait()
    assert speech.state is SpeechState.FAILED
    speech.interrupt()
    assert (speech.state, speech.sent_texts) == (SpeechState.FAILED, ["Sent."])


@pytest.mark.parametrize(("after_s", "cut_s"), [(0.0, 0.0), (0.5, 0.5), (2.5, 2.5)])
async def test_interrupt_stops_the_reply_once_and_says_where_playback_was_cut(after_s, cut_s):
    speech, sent = new_speech()
    start(speech, lambda speech: say(speech, TEN, 4.0))
    await asyncio.sleep(after_s)
    assert speech.interrupt() == pytest.approx(cut_s)
    events = len(sent.events)
    await speech.wait()
    await asyncio.sleep(1.0)
    assert speech.state is SpeechState.INTERRUPTED
    assert speech.interrupt() == speech.played_s == pytest.approx(cut_s)
    assert len(sent.events) == events


async def test_interrupt_leaves_a_reply_alone_that_was_played_to_its_end():
    speech, _ = new_speech()
    start(speech, lambda speech: say(speech, "One.", 0.5))
    await speech.wait()
    assert speech.interrupt() == pytest.approx(0.5)
    assert speech.state is SpeechState.DONE


async def test_cancelling_the_wait_interrupts_the_reply_and_waits_for_its_end():
    ended = asyncio.Event()

    async def slow_to_end(_speech: SpeechHandle) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            ended.set()

    speech, _ = new_speech()
    start(speech, slow_to_end)
    waiting = asyncio.create_task(speech.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended.is_set()
    assert speech.state is SpeechState.INTERRUPTED


async def test_a_paused_reply_goes_on_from_the_start_of_the_word_in_which_it_was_paused():
    speech, sent = new_speech()
    start(speech, lambda speech: say(speech, "1111 1111 1111 1111", 4.0))  # four words, each as long
    await asyncio.sleep(1.6)
    assert speech.pause() == pytest.approx(1.6)
    count = len(sent.events)
    await asyncio.sleep(3.0)
    assert (len(sent.events), speech.played_s) == (count, pytest.approx(1.6))
    resumed_s = speech.resume()
    assert 1.0 - PIECE_S <= resumed_s <= 1.0  # the second word began at 1.0 s
    await asyncio.sleep(0.5)
    assert speech.played_s == pytest.approx(resumed_s + 0.5)
    await speech.wait()
    assert asyncio.get_running_loop().time() == pytest.approx(4.6 + 4.0 - resumed_s)
    assert sent.positions[count - 1] == pytest.approx(resumed_s, abs=0.001)
    assert sent.positions[count - 1 :] == sorted(sent.positions[count - 1 :])
    assert sent.sentences == ["1111 1111 1111 1111"]


async def test_a_sentence_that_was_sent_but_not_begun_is_announced_again():
    speech, sent = new_speech(lead_s=5.0)

    async def speaking(speech: SpeechHandle) -> None:
        await say(speech, "First.", 1.0)
        await say(speech, "Second.", 1.0)

    start(speech, speaking)
    await asyncio.sleep(0.5)
    assert sent.sentences == ["First.", "Second."]
    speech.pause()
    speech.resume()
    await speech.wait()
    assert sent.sentences == ["First.", "Second.", "First.", "Second."]  # the first word begins with its sentence
    assert speech.sent_texts == ["First.", "Second."]


async def test_a_reply_that_was_sent_whole_can_still_be_paused():
    speech, _ = new_speech(lead_s=9.0)
    start(speech, lambda speech: say(speech, TEN, 4.0))
    await asyncio.sleep(2.0)
    assert (speech.sent_s, speech.state) == (pytest.approx(4.0), SpeechState.PLAYING)
    speech.pause()
    await asyncio.sleep(9.0)
    assert speech.state is SpeechState.PLAYING
    speech.resume()
    await speech.wait()
    assert speech.played_s == pytest.approx(4.0)
    assert 13.0 <= asyncio.get_running_loop().time() <= 13.6


async def test_a_held_reply_is_made_and_sends_nothing_until_it_is_let_go():
    speech, sent = new_speech(held=True)
    start(speech, lambda speech: say(speech, "One.", 0.5))
    await asyncio.sleep(5.0)
    assert (sent.events, len(speech.segments), speech.first_audio_at) == ([], 1, None)
    assert speech.resume() == 0.0
    await speech.wait()
    assert speech.first_audio_at == pytest.approx(5.0)
    assert sent.positions[0] == 0.0


async def test_a_pause_before_the_first_sound_holds_it_back():
    speech, sent = new_speech()
    assert speech.pause() == 0.0
    start(speech, lambda speech: say(speech, "One.", 0.5))
    await asyncio.sleep(1.0)
    assert sent.events == []
    speech.resume()
    await speech.wait()
    assert sent.sentences == ["One."]


async def test_the_words_that_were_spoken_are_known_at_any_time():
    speech, _ = new_speech()

    async def speaking(speech: SpeechHandle) -> None:
        await say(speech, "1111 1111 1111 1111", 4.0)
        await say(speech, "Done.", 1.0)

    start(speech, speaking)
    await settle()
    seen = []
    for _ in range(5):
        seen.append(speech.words_spoken())
        await asyncio.sleep(1.0)
    assert seen == [(0, 0), (0, 4), (0, 9), (0, 14), (1, 0)]


async def test_playback_reports_move_the_position():
    speech, _ = new_speech(lead_s=9.0)
    start(speech, lambda speech: say(speech, TEN, 4.0))
    await asyncio.sleep(2.0)
    speech.sender.report(0.5)
    assert speech.played_s == pytest.approx(0.5)
    assert speech.interrupt() == pytest.approx(0.5)


async def test_only_the_last_seconds_of_a_long_reply_are_kept():
    speech, _ = new_speech()
    start(speech, lambda speech: say(speech, TEN * 20, 120.0))
    await asyncio.sleep(100.0)
    assert len(speech.sender._parts) < 15.0 / PIECE_S
    speech.pause()
    assert speech.resume() > 98.0
    speech.interrupt()
    await speech.wait()


async def test_a_reply_that_is_paused_again_at_once_sends_nothing_between():
    speech, sent = new_speech(held=True)
    start(speech, lambda speech: say(speech, TEN, 4.0))
    await settle()
    speech.resume()
    speech.pause()
    await asyncio.sleep(1.0)
    assert sent.events == []
    speech.interrupt()
    await speech.wait()
