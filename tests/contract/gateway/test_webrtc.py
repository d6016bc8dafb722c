"""The gateway over WebRTC: a real peer on the loopback address talks with a conversation that echoes."""

from __future__ import annotations

import asyncio
import re

import numpy as np
import pytest

from oviya.audio.pcm import decode_pcm
from oviya.errors import Busy, InvalidInput, NotReady
from oviya.mesh.metrics import LOOP_FAILURES
from oviya.v1 import common_pb2
from services.gateway.transport.webrtc.ice import LOOPBACK
from services.gateway.transport.webrtc.microphone import Microphone
from services.gateway.transport.webrtc.playout_queue import RATE_HZ
from tests.support.echo_conversation import Echo, peers_of
from tests.support.ports import free_range
from tests.support.waiting import PATIENCE_S, until
from tests.support.webrtc_client import browser, dominant_hz, tone


async def test_what_the_browser_says_reaches_the_conversation():
    echo = Echo()
    async with peers_of(echo) as peers, browser() as user:
        await user.connect(await peers.answer(await user.offer(), "earlier", "its token"))
        user.speak(tone(700, 1.5))
        async with asyncio.timeout(PATIENCE_S):
            while len(echo.heard) < 2 * 16_000 * 1.5:
                echo.heard_changed.clear()
                await echo.heard_changed.wait()
    assert (echo.config.session_id, echo.config.resume_token) == ("earlier", "its token")
    assert echo.config.input == common_pb2.AudioFormat(
        encoding=common_pb2.AUDIO_ENCODING_PCM_S16LE, sample_rate_hz=16_000
    )
    samples = decode_pcm(bytes(echo.heard), common_pb2.AUDIO_ENCODING_PCM_S16LE)
    loud = samples[np.abs(samples) > 0.02]
    assert len(loud) > 16_000
    start = int(np.argmax(np.abs(samples) > 0.05)) + 1600
    assert dominant_hz(samples[start : start + 9600], 16_000) == pytest.approx(700, abs=5)
    assert np.sqrt(2) * samples[start : start + 9600].std() == pytest.approx(0.3, rel=0.15)  # mono stays as loud


async def test_the_reply_is_heard_and_its_events_come_when_it_is_played():
    echo = Echo()
    async with peers_of(echo) as peers, browser() as user:
        await user.connect(await peers.answer(await user.offer()))
        assert (await user.event("sessionStarted"))["sessionStarted"]["sessionId"] == "s"
        user.send({"text": "hello"})
        assert (await user.event("final"))["final"]["text"] == "hello"
        first = await user.event("replySentence")
        (peer,) = peers._peers.values()
        second = await user.event("replySentence")
        # The conversation made everything at once; the events follow the sound.
        assert peer._playout.queued_s <= 0.8
        assert (first["replySentence"]["text"], second["replySentence"]["text"]) == ("500 hertz", "1500 hertz")
        await user.event("replyEnded")
        assert peer._playout.queued_s == 0
        await until(lambda: echo.played[-1] == (0, 1.599))
        await asyncio.sleep(0.2)  # what is still in the jitter buffer
        sound = user.sound()
    assert 8 <= len(echo.played) <= 12  # 5 a second
    loud = np.flatnonzero(np.abs(sound) > 0.05)
    reply = sound[loud[0] : loud[-1]]
    assert len(reply) / RATE_HZ == pytest.approx(1.6, abs=0.1)  # nothing cut, nothing doubled
    half = len(reply) // 2
    assert dominant_hz(reply[2000 : half - 2000], RATE_HZ) == pytest.approx(500, abs=5)
    assert dominant_hz(reply[half + 2000 : -2000], RATE_HZ) == pytest.approx(1500, abs=5)
    assert np.sqrt(2) * reply[2000 : half - 2000].std() == pytest.approx(0.3, rel=0.1)


async def test_typed_messages_are_checked_and_the_session_goes_on():
    echo = Echo()
    async with peers_of(echo, max_text_chars=10) as peers, browser() as user:
        await user.connect(await peers.answer(await user.offer()))
        for bad, field in (
            ("no json", "message"),
            ("[" * 5000, "message"),
            ('{"text": 5}', "message"),
            ('{"unknown": 1}', "message"),
            ('{"audio": "AAAA"}', "message"),
            ('{"config": {}}', "message"),
            ("{}", "message"),
            (b"\x00\x01", "message"),
            ("x" * 65_537, "message"),
            ('{"played": {"turn": 0, "position": "1s"}}', "message"),
            ('{"text": ""}', "text"),
            ('{"text": "more than ten"}', "text"),
        ):
            user.send(bad)
            failed = (await user.event("requestFailed"))["requestFailed"]
            assert (failed["type"], failed["field"]) == ("InvalidInput", field), bad
        user.send({"endTurn": {}})
        user.send({"text": "nothing"})
        await user.event("replyEnded")
        await user.event("replyEnded")
    assert [request.WhichOneof("request") for request in echo.requests] == ["end_turn", "text"]


async def test_a_browser_that_only_types_needs_no_microphone():
    echo = Echo()
    async with peers_of(echo) as peers, browser(microphone=False) as user:
        await user.connect(await peers.answer(await user.offer()))
        user.send({"text": "hello"})
        await user.event("replyEnded")
        assert np.abs(user.sound()).max() > 0.2
    assert not echo.heard


async def test_a_hidden_address_connects_without_asking_for_its_name():
    async with peers_of(Echo()) as peers, browser() as user:
        offer = re.sub(
            rf"{LOOPBACK}( \d+ typ host)", r"11111111-2222-3333-4444-555555555555.local\1", await user.offer()
        )
        assert ".local" in offer
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        answer = await peers.answer(offer)
        assert loop.time() - asked_at < 0.9  # aioice waits a second for a name that nobody answers
        await user.connect(answer)
        await user.event("sessionStarted")


async def test_leaving_ends_the_conversation_and_frees_the_place():
    echo = Echo()
    async with peers_of(echo, max_sessions=1) as peers:
        async with browser() as user:
            await user.connect(await peers.answer(await user.offer()))
            await user.event("sessionStarted")
            async with browser() as other:
                with pytest.raises(Busy, match="all 1 sessions are taken"):
                    await peers.answer(await other.offer())
        async with asyncio.timeout(PATIENCE_S):
            await echo.left.wait()
        await until(lambda: len(peers) == 0)
        async with browser() as user:
            await user.connect(await peers.answer(await user.offer()))
            await user.event("sessionStarted")


async def test_ports_stay_in_the_range_run_out_and_come_back():
    first, last = free_range(2)
    async with peers_of(Echo(), udp_port_min=first, udp_port_max=last) as peers:
        async with browser() as one, browser() as two, browser() as three:
            for user in (one, two):
                answer = await peers.answer(await user.offer())
                ports = {int(port) for port in re.findall(r"candidate:\S+ 1 udp \d+ \S+ (\d+)", answer)}
                assert ports <= {first, last}
                await user.connect(answer)
            with pytest.raises(Busy, match="UDP ports"):
                await peers.answer(await three.offer())
            assert len(peers) == 2
        await until(lambda: len(peers) == 0)
        async with browser() as user:
            await user.connect(await peers.answer(await user.offer()))


async def test_offers_that_cannot_be_used_leave_nothing_behind():
    async with peers_of(Echo()) as peers:
        for bad in ("", "v=0", "x" * 70_000):
            with pytest.raises(InvalidInput) as caught:
                await peers.answer(bad)
            assert caught.value.field == "sdp"
        assert len(peers) == 0


async def test_draining_finishes_the_running_turn_and_refuses_new_browsers():
    echo = Echo()
    async with peers_of(echo) as peers, browser() as user, browser() as late:
        await user.connect(await peers.answer(await user.offer()))
        user.send({"text": "wait"})
        await user.event("final")
        echo.drain()
        draining = asyncio.ensure_future(peers.drain(PATIENCE_S))
        await asyncio.sleep(0)
        with pytest.raises(NotReady):
            await peers.answer(await late.offer())
        echo.release.set()
        await user.event("replyEnded")  # the whole reply was played
        await draining
        assert len(peers) == 0
        sound = user.sound()
        assert (np.abs(sound) > 0.05).sum() / RATE_HZ > 1.2
        async with asyncio.timeout(PATIENCE_S):
            await user.closed.wait()


async def test_draining_has_an_end_even_where_a_turn_has_none():
    echo = Echo()
    async with peers_of(echo) as peers, browser() as user:
        await user.connect(await peers.answer(await user.offer()))
        user.send({"text": "wait"})
        await user.event("final")
        await peers.drain(0.1)
        assert len(peers) == 0
        assert echo.left.is_set()


async def test_a_browser_that_never_connects_gives_its_place_back():
    echo = Echo()
    async with peers_of(echo, webrtc_connect_s=0.2) as peers, browser() as user:
        await peers.answer(await user.offer())
        assert len(peers) == 1
        await until(lambda: len(peers) == 0)
        assert echo.config is None  # no conversation was begun


async def test_a_conversation_that_fails_is_told_and_ends_the_session():
    async with peers_of(Echo()) as peers, browser() as user:
        await user.connect(await peers.answer(await user.offer()))
        user.send({"text": "fail"})
        failed = (await user.event("turnFailed"))["turnFailed"]
        assert (failed["type"], failed["field"]) == ("Unavailable", "brain")
        async with asyncio.timeout(PATIENCE_S):
            await user.closed.wait()
        await until(lambda: len(peers) == 0)


async def test_a_conversation_that_breaks_is_told_without_details_and_ends_the_session():
    async with peers_of(Echo()) as peers, browser() as user:
        await user.connect(await peers.answer(await user.offer()))
        user.send({"text": "break"})
        failed = (await user.event("turnFailed"))["turnFailed"]
        assert failed["message"] == "internal error"
        async with asyncio.timeout(PATIENCE_S):
            await user.closed.wait()
        await until(lambda: len(peers) == 0)


async def test_a_microphone_that_breaks_is_told_counted_and_ends_the_session(monkeypatch):
    async def pieces(self):
        raise RuntimeError
        yield b""

    monkeypatch.setattr(Microphone, "pieces", pieces)
    before = LOOP_FAILURES.labels("microphone")._value.get()
    async with peers_of(Echo()) as peers, browser() as user:
        await user.connect(await peers.answer(await user.offer()))
        failed = (await user.event("turnFailed"))["turnFailed"]
        assert "microphone" in failed["message"]
        async with asyncio.timeout(PATIENCE_S):
            await user.closed.wait()
        await until(lambda: len(peers) == 0)
    assert LOOP_FAILURES.labels("microphone")._value.get() == before + 1


async def test_a_channel_of_another_name_is_closed():
    async with peers_of(Echo()) as peers, browser(channel="other") as user:
        await user.connect(await peers.answer(await user.offer()))
        async with asyncio.timeout(PATIENCE_S):
            await user.closed.wait()
        assert user.events.empty()
        assert len(peers) == 1  # the session goes on without events
