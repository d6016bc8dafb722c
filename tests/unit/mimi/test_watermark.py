"""The watermark hook: loading, errors, and that every sample is marked."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from oviya.errors import InvalidInput
from services.mimi import metrics
from services.mimi.checkpoint import random_checkpoint
from services.mimi.engine.engine import MimiEngine
from services.mimi.spread_spectrum import SpreadSpectrum
from services.mimi.watermark import Watermark, WatermarkError, load_watermark
from tests.support.checkpoints.random_mimi import TINY_CONFIG as CONFIG

CPU = torch.device("cpu")
FRAME = CONFIG.frame_samples
WAIT_S = 30.0
SPREAD_SPECTRUM = "services.mimi.spread_spectrum:SpreadSpectrum"


class Counting:
    """Adds 1 + the sample's index in its utterance, which shows what was marked, and in which order."""

    name = "counting"

    def start(self) -> Counting:
        stream = Counting()
        stream.at = 0
        return stream

    def mark(self, samples: np.ndarray) -> np.ndarray:
        first, self.at = self.at, self.at + len(samples)
        return samples + np.arange(first + 1, self.at + 1, dtype=np.float32)


class Failing(Counting):
    """Fails in the third frame of the second utterance, in one of several ways."""

    def __init__(self, wrong) -> None:
        self.wrong, self.streams = wrong, 0

    def start(self) -> Counting:
        self.streams += 1
        if self.streams == 2:
            return FailingStream(self.wrong)
        return super().start()


class FailingStream(Counting):
    def __init__(self, wrong) -> None:
        self.wrong, self.at = wrong, 0

    def mark(self, samples: np.ndarray) -> np.ndarray:
        marked = super().mark(samples)
        return self.wrong(samples, marked) if self.at > 2 * FRAME else marked


def boom(samples: np.ndarray, marked: np.ndarray) -> np.ndarray:
    raise RuntimeError("the mark broke")


def write_into(samples: np.ndarray, marked: np.ndarray) -> np.ndarray:
    samples += 1
    return samples


WRONG = {
    "raises": boom,
    "another length": lambda samples, marked: marked[:-1],
    "another type": lambda samples, marked: marked.astype(np.float64),
    "no array": lambda samples, marked: marked.tolist(),
    "not finite": lambda samples, marked: marked * np.nan,
    "writes into its input": write_into,
}


def engine_with(watermark: Watermark | None) -> MimiEngine:
    return MimiEngine(random_checkpoint(CPU, CONFIG), decode_streams=3, encode_streams=1, watermark=watermark)


@pytest.fixture(scope="module")
def plain() -> Iterator[MimiEngine]:
    with engine_with(None) as engine:
        yield engine


def some_codes(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, CONFIG.codebook_size, (frames, 8))


def decode(engine: MimiEngine, codes: np.ndarray) -> np.ndarray:
    with engine.open_decoder() as stream:
        return stream.decode(codes).result(WAIT_S)


def test_every_sample_is_marked_in_order_and_each_utterance_begins_anew(plain: MimiEngine):
    codes = [some_codes(20, seed) for seed in range(3)]
    with engine_with(Counting()) as engine:
        for _ in range(2):  # the second time in slots that have been used
            streams = [engine.open_decoder() for _ in codes]
            cuts = [[1, 9], [3], [19]]
            futures = [
                [stream.decode(piece) for piece in np.split(part, cut)]
                for stream, part, cut in zip(streams, codes, cuts, strict=True)
            ]
            for part, pieces in zip(codes, futures, strict=True):
                sound = np.concatenate([piece.result(WAIT_S) for piece in pieces])
                added = sound - decode(plain, part)
                np.testing.assert_allclose(added, np.arange(1, 20 * FRAME + 1), atol=1e-3)
            for stream in streams:
                stream.close()


@pytest.mark.parametrize("wrong", WRONG.values(), ids=list(WRONG))
def test_a_failing_mark_stops_its_utterance_alone(plain: MimiEngine, wrong):
    failures = metrics.WATERMARK_FAILURES._value.get()
    with engine_with(Failing(wrong)) as engine, engine.open_decoder() as good, engine.open_decoder() as bad:
        codes = some_codes(6)
        pieces = [good.decode(codes[:1]).result(WAIT_S)]
        bad.decode(codes[:2]).result(WAIT_S)
        with pytest.raises(WatermarkError, match="watermark 'counting' failed"):
            bad.decode(codes[2:3]).result(WAIT_S)
        with pytest.raises(WatermarkError, match="failed earlier"):  # nor does anything pass after it
            bad.decode(codes[3:4]).result(WAIT_S)
        pieces.append(good.decode(codes[1:]).result(WAIT_S))
        added = np.concatenate(pieces) - decode(plain, codes)
        np.testing.assert_allclose(added, np.arange(1, 6 * FRAME + 1), atol=1e-3)
        bad.close()
        assert len(decode(engine, codes)) == 6 * FRAME  # the slot is good again
    assert metrics.WATERMARK_FAILURES._value.get() == failures + 2


def test_a_long_job_that_fails_midway_gives_nothing():
    with engine_with(Failing(boom)) as engine:
        decode(engine, some_codes(1))
        with pytest.raises(WatermarkError):
            decode(engine, some_codes(30))


def test_a_mark_that_cannot_start_stops_the_utterance():
    class NoStart(Counting):
        def start(self) -> Counting:
            raise OSError("no more streams")

    with engine_with(NoStart()) as engine, pytest.raises(WatermarkError, match="no more streams"):
        decode(engine, some_codes(1))


def test_the_mark_that_ships_is_applied(plain: MimiEngine):
    codes = some_codes(40)
    mark = SpreadSpectrum(sample_rate_hz=CONFIG.sample_rate_hz, key="a key of this test")
    with engine_with(mark) as engine:
        found = decode(engine, codes)
    sound = decode(plain, codes)
    np.testing.assert_allclose(found, mark.start().mark(sound), atol=1e-6)
    assert not np.array_equal(found, sound)


def test_no_setting_means_no_mark():
    assert load_watermark("", sample_rate_hz=24_000, key="") is None


def test_a_setting_names_a_factory():
    watermark = load_watermark(SPREAD_SPECTRUM, sample_rate_hz=24_000, key="long enough")
    assert watermark is not None
    assert watermark.name == "spread-spectrum"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("services.mimi.spread_spectrum", "must be 'module:factory'"),
        (":SpreadSpectrum", "must be 'module:factory'"),
        ("no.such.module:Mark", "ModuleNotFoundError"),
        ("services.mimi.spread_spectrum:NoSuch", "AttributeError"),
        ("services.mimi.spread_spectrum:NAME", "TypeError"),
        ("operators_marks:nameless", "must have a name"),
        ("operators_marks:broken", "ValueError: no licence"),
    ],
)
def test_what_cannot_be_loaded_is_said_in_one_line(spec: str, words: str, monkeypatch: pytest.MonkeyPatch):
    def broken(**_: object) -> Watermark:
        raise ValueError("no licence")

    module = types.ModuleType("operators_marks")
    module.nameless = lambda **_: types.SimpleNamespace(name="", start=None)  # type: ignore[attr-defined]
    module.broken = broken  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "operators_marks", module)
    with pytest.raises(WatermarkError, match=words) as caught:
        load_watermark(spec, sample_rate_hz=24_000, key="a secret key")
    assert "\n" not in str(caught.value)
    assert "a secret key" not in str(caught.value)


def test_a_mark_says_itself_what_its_key_lacks():
    with pytest.raises(InvalidInput, match="at least 8 characters"):
        load_watermark(SPREAD_SPECTRUM, sample_rate_hz=24_000, key="short")
