"""The engine: batches, admission, early ends and failures."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, wait

import numpy as np
import pytest
import soxr
import torch

from oviya.errors import Busy, InvalidInput, NotReady
from services.mimi import metrics
from services.mimi.checkpoint import random_checkpoint
from services.mimi.engine.batcher import Job
from services.mimi.engine.capacity import STEP_FRAMES
from services.mimi.engine.engine import MimiEngine
from tests.support.checkpoints.random_mimi import TINY_CONFIG as CONFIG
from tests.support.metrics import mimi_streams

CPU = torch.device("cpu")
FRAME = CONFIG.frame_samples
WAIT_S = 30.0
"""Time-out of futures and threads."""


@pytest.fixture
def engine() -> Iterator[MimiEngine]:
    with MimiEngine(random_checkpoint(CPU, CONFIG), decode_streams=3, encode_streams=2) as engine:
        yield engine


def some_codes(frames: int, seed: int = 0, codebooks: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, CONFIG.codebook_size, (frames, codebooks))


def some_samples(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(count).astype(np.float32) * 0.3


def decode_alone(engine: MimiEngine, codes: np.ndarray) -> np.ndarray:
    with engine.open_decoder() as stream:
        return stream.decode(codes).result(WAIT_S)


def encode_alone(engine: MimiEngine, samples: np.ndarray, rate: int = CONFIG.sample_rate_hz) -> np.ndarray:
    with engine.open_encoder(rate) as stream:
        codes = [stream.encode(samples).result(WAIT_S), stream.finish().result(WAIT_S)]
    return np.concatenate(codes)


class Gate:
    """Blocks the engine's thread in a step, with a job of its own stream, until it is opened."""

    def __init__(self, engine: MimiEngine) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()
        self.stream = engine.open_encoder(CONFIG.sample_rate_hz)

        def hold() -> np.ndarray:
            self.entered.set()
            assert self.opened.wait(WAIT_S)
            return np.zeros((0, FRAME), np.float32)

        engine._submit(engine._encode, Job(self.stream._slot, hold, 8))
        assert self.entered.wait(WAIT_S)

    def open(self) -> None:
        self.opened.set()
        self.stream.close()


def test_streams_together_are_each_as_alone(engine: MimiEngine):
    codes = [some_codes(20, seed, codebooks) for seed, codebooks in ((1, 8), (2, 3), (3, 8))]
    alone = [decode_alone(engine, part) for part in codes]
    streams = [engine.open_decoder() for _ in codes]
    sounds: list[list[Future]] = [[] for _ in codes]
    for start, stop in ((0, 1), (1, 9), (9, 10), (10, 20)):
        for row, stream in enumerate(streams):
            sounds[row].append(stream.decode(codes[row][start:stop]))
    for row, stream in enumerate(streams):
        found = np.concatenate([future.result(WAIT_S) for future in sounds[row]])
        assert found.shape == (20 * FRAME,)
        assert np.abs(found - alone[row]).max() <= 1e-4 * np.abs(alone[row]).max()
        stream.close()


def test_a_slot_carries_nothing_over(engine: MimiEngine):
    first = decode_alone(engine, some_codes(12, 1))
    decode_alone(engine, some_codes(30, 2))
    assert np.array_equal(decode_alone(engine, some_codes(12, 1)), first)


def test_encoding_pads_the_end_with_silence(engine: MimiEngine):
    samples = some_samples(5 * FRAME + 1)
    padded = np.concatenate((samples, np.zeros(FRAME - 1, np.float32)))
    codes = encode_alone(engine, samples)
    assert codes.shape == (6, 8)
    assert np.array_equal(codes, encode_alone(engine, padded))


def test_any_chunking_of_the_sound_gives_the_same_codes(engine: MimiEngine):
    samples = some_samples(12 * FRAME)
    with engine.open_encoder(CONFIG.sample_rate_hz) as stream:
        codes = [stream.encode(piece) for piece in np.split(samples, [1, 7, FRAME, 3 * FRAME + 5, 9 * FRAME])]
        codes.append(stream.finish())
        found = np.concatenate([future.result(WAIT_S) for future in codes])
    assert np.array_equal(found, encode_alone(engine, samples))


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_other_rates_are_resampled(engine: MimiEngine, rate: int):
    seconds = np.arange(rate // 2) / rate
    sound = (0.4 * np.sin(2 * np.pi * 440 * seconds)).astype(np.float32)
    resampled = soxr.resample(sound, rate, CONFIG.sample_rate_hz, quality="HQ")
    wanted = encode_alone(engine, resampled)
    found = encode_alone(engine, sound, rate)
    assert found.shape == wanted.shape
    assert (found == wanted).all(axis=1).mean() > 0.95  # float rounding of the resampler may tip a code


def test_the_shortest_sound_is_one_frame(engine: MimiEngine):
    for rate in (8_000, 24_000, 48_000):
        assert encode_alone(engine, np.ones(1, np.float32), rate).shape == (1, 8)


def test_a_reference_clip_of_30_s_is_one_call(engine: MimiEngine):
    samples = some_samples(30 * CONFIG.sample_rate_hz)
    codes = encode_alone(engine, samples)
    assert codes.shape == (30 * CONFIG.sample_rate_hz // FRAME, 8)
    assert codes.min() >= 0
    assert codes.max() < CONFIG.codebook_size
    with engine.open_encoder(CONFIG.sample_rate_hz) as stream:
        pieces = [stream.encode(piece) for piece in np.array_split(samples, 7)]
        found = np.concatenate([piece.result(WAIT_S) for piece in pieces])
    assert (found == codes).all(axis=1).mean() > 0.999  # another step length may round a tie the other way


def test_a_live_stream_does_not_wait_for_a_long_one(engine: MimiEngine):
    """A frame that is submitted during a long clip is ready before the clip."""
    order: list[str] = []
    gate = Gate(engine)
    with engine.open_decoder() as long, engine.open_decoder() as live:
        clip, frame = long.decode(some_codes(40 * STEP_FRAMES)), live.decode(some_codes(1))
        clip.add_done_callback(lambda _: order.append("clip"))
        frame.add_done_callback(lambda _: order.append("frame"))
        gate.open()
        wait((clip, frame), WAIT_S)
    assert order == ["frame", "clip"]


def test_a_full_engine_says_so_at_once_and_has_room_again(engine: MimiEngine):
    streams = [engine.open_decoder() for _ in range(3)]
    with pytest.raises(Busy, match="all 3 decode streams") as caught:
        engine.open_decoder()
    assert caught.value.retry_after_s > 0
    with engine.open_encoder(24_000):  # the other direction has its own room
        pass
    streams[1].close()
    decode_alone(engine, some_codes(2))
    for stream in streams:
        stream.close()
        stream.close()  # twice is once
    assert mimi_streams() == (0, 0)


def test_closing_cancels_what_waits(engine: MimiEngine):
    gate = Gate(engine)
    stream = engine.open_decoder()
    future = stream.decode(some_codes(3))
    stream.close()
    assert future.cancelled()
    assert mimi_streams() == (0, 1)
    gate.open()
    with pytest.raises(NotReady):
        stream.decode(some_codes(1))
    decode_alone(engine, some_codes(2))


def test_closing_in_the_middle_of_a_step_frees_the_slot_after_it(engine: MimiEngine):
    gate = Gate(engine)
    slot = gate.stream._slot
    gate.stream.close()
    assert mimi_streams() == (0, 1)  # the step still runs
    gate.open()
    again = [engine.open_encoder(24_000)]
    again[0].encode(some_samples(FRAME)).result(WAIT_S)
    again.append(engine.open_encoder(24_000))
    assert slot in [stream._slot for stream in again]
    for stream in again:
        stream.close()
    assert mimi_streams() == (0, 0)


def test_a_caller_that_gives_up_leaves_the_others_alone(engine: MimiEngine):
    gate = Gate(engine)
    with engine.open_decoder() as one, engine.open_decoder() as other:
        dropped, kept = one.decode(some_codes(4, 1)), other.decode(some_codes(4, 2))
        assert dropped.cancel()
        gate.open()
        sound = kept.result(WAIT_S)
    assert np.abs(sound - decode_alone(engine, some_codes(4, 2))).max() <= 1e-4 * np.abs(sound).max()


def test_a_failure_reaches_its_caller_and_the_engine_goes_on(engine: MimiEngine):
    def broken() -> np.ndarray:
        raise RuntimeError("broken")

    with engine.open_decoder() as stream:
        future = engine._submit(engine._decode, Job(stream._slot, broken, 8))
        with pytest.raises(RuntimeError, match="broken"):
            future.result(WAIT_S)
        wild = engine._submit(engine._decode, Job(stream._slot, lambda: np.full((1, 8), 10**6), 8))
        with pytest.raises(IndexError):
            wild.result(WAIT_S)
    assert len(decode_alone(engine, some_codes(1))) == FRAME


@pytest.mark.parametrize("where", ["_run", "_reset"])
def test_a_lost_device_ends_everything_and_says_so(monkeypatch: pytest.MonkeyPatch, where: str):
    lost = threading.Event()
    engine = MimiEngine(random_checkpoint(CPU, CONFIG), on_lost=lost.set)
    gate = Gate(engine)
    assert gate.entered.wait(WAIT_S)
    before = metrics.DEVICE_FAILURES.labels("lost")._value.get()
    monkeypatch.setattr("services.mimi.engine.engine.still_works", lambda device: False)
    monkeypatch.setattr(engine._decode, where, lambda *_: 1 / 0)
    stream, other = engine.open_decoder(), engine.open_decoder()
    futures = [stream.decode(some_codes(2)), stream.decode(some_codes(2)), other.decode(some_codes(1))]
    gate.opened.set()
    for future, failure in zip(futures, (ZeroDivisionError, NotReady, ZeroDivisionError), strict=True):
        with pytest.raises(failure):
            future.result(WAIT_S)
    assert lost.wait(WAIT_S)
    with pytest.raises(NotReady, match="lost its device"):
        stream.decode(some_codes(1))
    for each in (stream, other, gate.stream):
        each.close()
    engine.close()
    assert mimi_streams() == (0, 0)
    assert metrics.DEVICE_FAILURES.labels("lost")._value.get() == before + 1


def test_a_step_that_cannot_reset_its_slot_fails_and_the_next_one_does(
    engine: MimiEngine, monkeypatch: pytest.MonkeyPatch
):
    expected = decode_alone(engine, some_codes(3))
    with engine.open_decoder() as stream:
        with monkeypatch.context() as patch:
            patch.setattr(engine._decode, "_reset", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                stream.decode(some_codes(3)).result(WAIT_S)
        np.testing.assert_array_equal(stream.decode(some_codes(3)).result(WAIT_S), expected)


def test_a_closed_engine_fails_what_waits(engine: MimiEngine):
    gate = Gate(engine)
    stream = engine.open_decoder()
    future = stream.decode(some_codes(2))
    closing = threading.Thread(target=engine.close)
    closing.start()
    while engine._thread.closed is None:
        closing.join(0.01)
    gate.opened.set()
    closing.join(WAIT_S)
    assert not closing.is_alive()
    with pytest.raises((CancelledError, NotReady)):
        future.result(WAIT_S)
    with pytest.raises(NotReady):
        stream.decode(some_codes(1))


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        (some_codes(0), "at least one frame"),
        (some_codes(2)[0], "shape"),
        (some_codes(2, codebooks=9), "1 to 8"),
        (some_codes(2) + 64, "0 to 63"),
        (some_codes(2) - 64, "0 to 63"),
    ],
)
def test_wrong_codes_are_refused(engine: MimiEngine, codes: np.ndarray, words: str):
    with engine.open_decoder() as stream, pytest.raises(InvalidInput, match=words):
        stream.decode(codes)
    assert len(decode_alone(engine, some_codes(1))) == FRAME


def test_the_codebook_count_of_a_stream_is_fixed(engine: MimiEngine):
    with engine.open_decoder() as stream:
        stream.decode(some_codes(1, codebooks=4)).result(WAIT_S)
        with pytest.raises(InvalidInput, match="must be 4"):
            stream.decode(some_codes(1, codebooks=8))
    for count in (0, 9):
        with pytest.raises(InvalidInput, match="1 to 8"):
            engine.open_encoder(24_000, count)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_sound_that_is_no_number_is_refused(engine: MimiEngine, wrong: float):
    samples = some_samples(FRAME)
    samples[7] = wrong
    with engine.open_encoder(24_000) as stream, pytest.raises(InvalidInput, match="finite"):
        stream.encode(samples)
    assert len(encode_alone(engine, some_samples(FRAME))) == 1


def test_fewer_codebooks_are_the_first_ones(engine: MimiEngine):
    samples = some_samples(4 * FRAME)
    with engine.open_encoder(24_000, 3) as few, engine.open_encoder(24_000) as all_of_them:
        three, eight = few.encode(samples), all_of_them.encode(samples)
        assert np.array_equal(three.result(WAIT_S), eight.result(WAIT_S)[:, :3])
