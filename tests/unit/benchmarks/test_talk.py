"""The arithmetic of the benchmark of conversation: what was audible when, and what came of a sound."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial

import numpy as np
import pytest

from benchmarks.talk_loudspeaker import FADE_S, Loudspeaker
from benchmarks.talk_outcome import Arrival, outcome_of
from benchmarks.talk_relay import LossyRelay
from benchmarks.talk_rtp import BUFFER_S, play_packets
from benchmarks.talk_sounds import RATE_HZ, Sound, room_response, spread
from benchmarks.talk_user import Echo, EchoPath
from oviya.durations import duration
from oviya.v1 import conversation_pb2 as pb2

HZ = 1000
"""Samples of these tests are milliseconds."""


def loud(seconds: float) -> np.ndarray:
    return np.full(round(seconds * HZ), 0.5, np.float32)


def test_sound_plays_when_it_arrives_and_then_in_order():
    loudspeaker = Loudspeaker(HZ)
    loudspeaker.add(0, 0.0, loud(0.2), now_s=10.0)
    loudspeaker.add(0, 0.2, loud(0.2), now_s=10.05)
    assert loudspeaker.first_audible_s() == pytest.approx(10.0)
    assert loudspeaker.last_audible_s() == pytest.approx(10.399)
    heard = loudspeaker.render(9900, 600)
    assert np.flatnonzero(heard).tolist() == list(range(100, 500))
    assert not loudspeaker.underruns


def test_late_sound_of_a_reply_is_an_underrun():
    loudspeaker = Loudspeaker(HZ)
    loudspeaker.add(0, 0.0, loud(0.2), now_s=10.0)
    loudspeaker.add(0, 0.2, loud(0.2), now_s=10.25)
    (underrun,) = loudspeaker.underruns
    assert (underrun.at_s, underrun.length_s) == (pytest.approx(10.2), pytest.approx(0.05))
    assert loudspeaker.last_audible_s() == pytest.approx(10.449)


def test_the_pause_between_two_replies_is_no_underrun():
    loudspeaker = Loudspeaker(HZ)
    loudspeaker.add(0, 0.0, loud(0.2), now_s=10.0)
    loudspeaker.add(1, 0.0, loud(0.2), now_s=12.0)
    assert not loudspeaker.underruns


def test_a_cut_fades_and_drops_what_was_not_played():
    loudspeaker = Loudspeaker(HZ)
    loudspeaker.add(0, 0.0, loud(0.1), now_s=10.0)
    loudspeaker.add(0, 0.1, loud(1.0), now_s=10.0)
    loudspeaker.cut(10.08)
    heard = loudspeaker.render(10_000, 1100)
    assert np.all(heard[:80] == 0.5)
    assert np.all(np.diff(heard[80 : 80 + round(FADE_S * HZ)]) < 0)
    assert np.all(heard[80 + round(FADE_S * HZ) :] == 0)
    last_s = loudspeaker.last_audible_s(0)
    assert last_s is not None
    assert 10.08 < last_s < 10.08 + FADE_S


def test_a_resumed_reply_plays_when_it_arrives_without_an_underrun():
    loudspeaker = Loudspeaker(HZ)
    loudspeaker.add(0, 0.0, loud(2.0), now_s=10.0)
    loudspeaker.cut(11.0)
    loudspeaker.add(0, 0.9, loud(0.5), now_s=11.8)
    assert not loudspeaker.underruns
    assert loudspeaker.first_audible_s(0, since_s=11.5) == pytest.approx(11.8)


def test_silent_sound_is_not_audible():
    loudspeaker = Loudspeaker(HZ)
    loudspeaker.add(0, 0.0, np.concatenate((np.zeros(300, np.float32), loud(0.1))), now_s=10.0)
    assert loudspeaker.first_audible_s(0) == pytest.approx(10.3)
    assert loudspeaker.first_audible_s(1) is None


def test_the_onset_is_the_first_loud_sample():
    samples = np.zeros(RATE_HZ, np.float32)
    samples[1600:3200] = 0.005  # below -40 dBFS
    samples[3200:4800] = 0.1
    sound = Sound("flite", "no", samples)
    assert sound.onset_s == pytest.approx(0.2)
    assert sound.end_s == pytest.approx(0.3, abs=1e-4)


def test_an_echo_comes_later_and_softer():
    loudspeaker = Loudspeaker(24_000)
    noise = np.random.default_rng(0).normal(0, 0.1, 24_000).astype(np.float32)
    loudspeaker.add(0, 0.0, noise, now_s=5.0)
    path = EchoPath(Echo(0.1, -12.0, np.ones(1, np.float32)), loudspeaker, started_s=5.0)
    echo = np.concatenate([path.hear(320) for _ in range(75)])
    assert not echo[: round(0.09 * RATE_HZ)].any()
    steady = echo[round(0.3 * RATE_HZ) : round(0.9 * RATE_HZ)]
    in_band_db = 10 * np.log10(2 / 3)  # white noise above 8 kHz is lost
    level_db = 20 * np.log10(np.sqrt(np.mean(np.square(steady))) / 0.1)
    assert level_db == pytest.approx(-12.0 + in_band_db, abs=0.5)


def test_a_room_neither_adds_nor_removes_energy():
    assert np.sum(np.square(room_response(1))) == pytest.approx(1.0, abs=1e-4)


def test_items_are_spread_evenly():
    assert spread("abcdefghij", 5) == ["a", "c", "e", "g", "i"]
    assert spread("abc", 5) == ["a", "b", "c"]


def event(at_s: float, turn: int, **fields) -> Arrival:
    return Arrival(at_s, pb2.ConverseResponse(turn=turn, **fields))


def paused(position_s: float) -> pb2.ReplyPaused:
    return pb2.ReplyPaused(position=duration(position_s))


PAUSED = event(1.0, 0, reply_paused=paused(3.0))
INTERRUPTED = event(1.5, 0, interrupted=pb2.Interrupted(reason=pb2.INTERRUPT_REASON_SPEECH))
ANSWERED = [event(2.0, 1, turn_ended={}), event(2.2, 1, reply_sentence=pb2.ReplySentence(text="Yes."))]


def dropped(at_s: float, reason: pb2.DropReason.ValueType) -> Arrival:
    return event(at_s, 1, turn_dropped=pb2.TurnDropped(reason=reason, text="yeah"))


def test_words_that_interrupt_and_are_answered_are_obeyed():
    outcome = outcome_of([PAUSED, INTERRUPTED, *ANSWERED], reply=0, since_s=0.5)
    assert outcome.obeyed
    assert outcome.false_stop
    assert (outcome.reason, outcome.interrupted_s) == ("SPEECH", 1.5)


def test_words_that_interrupt_but_are_not_answered_are_not_obeyed():
    assert not outcome_of([PAUSED, INTERRUPTED, ANSWERED[0]], reply=0, since_s=0.5).obeyed


def test_words_that_are_answered_after_the_reply_are_not_obeyed():
    outcome = outcome_of(ANSWERED, reply=0, since_s=0.5)
    assert not outcome.obeyed
    assert outcome.false_stop


def test_a_stop_phrase_needs_no_answer():
    stop = dropped(1.6, pb2.DROP_REASON_STOP_PHRASE)
    assert outcome_of([PAUSED, INTERRUPTED, stop], reply=0, since_s=0.5).obeyed


def test_a_filler_is_no_answer():
    filler = event(2.2, 1, reply_sentence=pb2.ReplySentence(text="Let me think.", filler=True))
    assert not outcome_of([INTERRUPTED, filler], reply=0, since_s=0.5).obeyed


def test_a_backchannel_that_resumes_the_reply_is_no_false_stop():
    resumed = event(1.6, 0, reply_resumed=pb2.ReplyResumed(position=duration(2.7)))
    outcome = outcome_of([PAUSED, resumed, dropped(1.7, pb2.DROP_REASON_BACKCHANNEL)], reply=0, since_s=0.5)
    assert not outcome.false_stop
    assert outcome.dropped == [("BACKCHANNEL", "yeah")]
    assert outcome.repeats_s == [pytest.approx(0.3)]


def test_sound_of_the_old_reply_after_its_interruption_is_counted():
    sound = event(1.6, 0, audio={"pcm": b"\0\0"})
    outcome = outcome_of([event(1.4, 0, audio={}), INTERRUPTED, sound, event(1.7, 1, audio={})], reply=0, since_s=0.5)
    assert outcome.late_pieces == 1


def test_sound_of_a_paused_reply_is_counted():
    resumed = event(1.6, 0, reply_resumed=pb2.ReplyResumed())
    outcome = outcome_of([PAUSED, event(1.2, 0, audio={}), resumed, event(1.7, 0, audio={})], reply=0, since_s=0.5)
    assert outcome.paused_pieces == 1


def test_events_before_the_sound_do_not_count():
    assert not outcome_of([PAUSED, INTERRUPTED, *ANSWERED], reply=0, since_s=3.0).false_stop


def stream(seconds: float, delay_s: float = 0.0) -> list[tuple[float, float]]:
    """Packets of 20 ms that arrive as they are made."""
    return [(number * 0.02, number * 0.02 + delay_s) for number in range(round(seconds / 0.02))]


def test_a_steady_stream_is_played():
    playout = play_packets(stream(2.0))
    assert (playout.played, playout.concealed, playout.underruns) == (100, 0, [])


def test_lost_and_jittered_packets_are_no_underruns():
    random = np.random.default_rng(0)
    arrived = [(at_s, at_s + random.uniform(0, 0.08)) for at_s, _ in stream(10.0) if random.random() >= 0.05]
    playout = play_packets(arrived)
    assert playout.underruns == []
    assert playout.played == len(arrived)
    assert playout.concealed == 500 - len(arrived) - (500 - round(arrived[-1][0] / 0.02) - 1)


def test_a_stream_that_stalls_longer_than_the_buffer_runs_dry_once():
    arrived = [(at_s, max(at_s, 1.3) if at_s >= 1.0 else at_s) for at_s, _ in stream(2.0)]
    (underrun,) = play_packets(arrived).underruns
    assert underrun.at_s == pytest.approx(1.0 + BUFFER_S)
    assert underrun.length_s == pytest.approx(0.3 - BUFFER_S, abs=0.021)


def test_a_stream_that_goes_on_later_is_played_from_there():
    playout = play_packets(stream(1.0) + [(at_s + 1.0, at_s + 3.0) for at_s, _ in stream(1.0)])
    (underrun,) = playout.underruns
    assert underrun.length_s == pytest.approx(2.0 - BUFFER_S)
    assert playout.played == 100


OFFER = (
    "m=audio 9 UDP/TLS/RTP/SAVPF 96\r\na=candidate:f 1 udp 2130706431 127.0.0.1 {} typ host\r\na=end-of-candidates\r\n"
)


class Endpoint(asyncio.DatagramProtocol):
    """Keeps the packets that arrive."""

    def __init__(self):
        self.packets: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data, addr):
        self.packets.put_nowait(data)


@asynccontextmanager
async def between_two(relay: LossyRelay):
    """A caller and a gateway that send to each other through the relay."""
    loop = asyncio.get_running_loop()
    async with relay:
        ends = [await loop.create_datagram_endpoint(Endpoint, local_addr=("127.0.0.1", 0)) for _ in range(2)]
        ports = [transport.get_extra_info("sockname")[1] for transport, _ in ends]
        offer, answer = relay.through_offer(OFFER.format(ports[0])), relay.through_answer(OFFER.format(ports[1]))
        shown = [int(sdp.split()[9]) for sdp in (answer, offer)]
        try:
            yield [
                (partial(transport.sendto, addr=("127.0.0.1", port)), endpoint.packets)
                for (transport, endpoint), port in zip(ends, shown, strict=True)
            ]
        finally:
            for transport, _ in ends:
                transport.close()


async def test_the_relay_passes_packets_in_both_directions():
    async with between_two(LossyRelay(loss=0.5, jitter_s=0.1)) as (
        (caller_send, at_caller),
        (gateway_send, at_gateway),
    ):
        caller_send(b"hello")
        async with asyncio.timeout(20):
            assert await at_gateway.get() == b"hello"
            gateway_send(b"hi")
            assert await at_caller.get() == b"hi"


async def test_the_relay_reorders_packets():
    relay = LossyRelay(loss=0.0, jitter_s=0.05)
    async with between_two(relay) as ((caller_send, _), (_, at_gateway)):
        relay.faulty = True
        for number in range(100):
            caller_send(bytes([number]))
        async with asyncio.timeout(20):
            arrived = [await at_gateway.get() for _ in range(100)]
    assert sorted(arrived) == [bytes([number]) for number in range(100)]
    assert arrived != sorted(arrived)


async def test_the_relay_loses_packets():
    relay = LossyRelay(loss=1.0, jitter_s=0.0)
    async with between_two(relay) as ((caller_send, _), (gateway_send, at_gateway)):
        relay.faulty = True
        caller_send(b"lost")
        gateway_send(b"lost")
        async with asyncio.timeout(20):
            while relay.lost < 2:
                await asyncio.sleep(0.01)
        relay.faulty = False
        caller_send(b"kept")
        async with asyncio.timeout(20):
            assert await at_gateway.get() == b"kept"
