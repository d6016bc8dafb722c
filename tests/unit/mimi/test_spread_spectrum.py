"""The spread-spectrum watermark: its level, its detection, and what it survives."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soxr

from oviya.audio.wav import write_wav
from oviya.errors import InvalidInput
from services.mimi import detect_watermark
from services.mimi.spread_spectrum import Detection, SpreadSpectrum, detect
from tests.support.speech import speak

RATE = 24_000
FRAME = 1920
KEY, OTHER_KEY = "a secret of the operator", "a secret of somebody else"
TEXT = (
    "the weather is very nice today and i want to go for a walk in the park with my mother who called me this morning"
)
VOICES = ("slt", "rms", "kal16")


def mark(samples: np.ndarray, pieces: list[int] | None = None) -> np.ndarray:
    stream = SpreadSpectrum(sample_rate_hz=RATE, key=KEY).start()
    cuts = pieces if pieces is not None else list(range(FRAME, len(samples), FRAME))
    return np.concatenate([stream.mark(piece) for piece in np.split(samples, cuts)])


def look(samples: np.ndarray, key: str = KEY) -> Detection:
    return detect(samples.astype(np.float32), sample_rate_hz=RATE, key=key)


@pytest.fixture(scope="module", params=VOICES)
def speech(request: pytest.FixtureRequest) -> np.ndarray:
    """About 6 s."""
    return speak(TEXT, RATE, request.param)


@pytest.fixture(scope="module")
def marked(speech: np.ndarray) -> np.ndarray:
    return mark(speech)


def test_the_mark_is_30_db_below_the_speech(speech: np.ndarray, marked: np.ndarray):
    assert marked.shape == speech.shape
    assert marked.dtype == np.float32
    added = marked - speech
    level_db = 10 * np.log10(np.square(added).sum() / np.square(speech).sum())
    assert -35 < level_db < -30


def test_the_mark_lies_below_the_speech_at_every_frequency(speech: np.ndarray, marked: np.ndarray):
    top = len(speech) * 7_000 // RATE  # flite's voices are 16 kHz, or 8
    bands = [np.abs(np.fft.rfft(part.astype(np.float64))[:top]) ** 2 for part in (marked - speech, speech)]
    added, said = ([part.sum() for part in np.array_split(band, 40)] for band in bands)
    assert max(10 * np.log10(a / s) for a, s in zip(added, said, strict=True)) < -27


def test_it_is_found_with_the_key_alone(speech: np.ndarray, marked: np.ndarray):
    assert look(marked).marked
    assert look(marked).false_alarm < 1e-12
    assert not look(marked, OTHER_KEY).marked
    assert not look(speech).marked


def test_where_the_sound_is_cut_does_not_matter(speech: np.ndarray, marked: np.ndarray):
    for pieces in ([], [1, 2, 481, 9000, 9001], list(range(100, len(speech), 777))):
        np.testing.assert_allclose(mark(speech, pieces), marked, atol=1e-6)


def test_the_past_alone_decides(speech: np.ndarray, marked: np.ndarray):
    """Later samples do not change earlier ones."""
    changed = speech.copy()
    changed[50_000:] = 0
    np.testing.assert_array_equal(mark(changed)[:50_000], marked[:50_000])


def test_silence_stays_silent():
    assert not mark(np.zeros(10 * FRAME, np.float32)).any()


def with_noise(samples: np.ndarray, below_db: float) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal(len(samples))
    return samples + noise * np.sqrt(np.mean(samples**2)) * 10 ** (-below_db / 20)


def through_rate(samples: np.ndarray, rate: int) -> np.ndarray:
    return soxr.resample(soxr.resample(samples, RATE, rate), rate, RATE)


def through_opus(samples: np.ndarray, bit_rate: int) -> np.ndarray:
    """Encodes as the gateway does: 48 kHz, 20 ms packets."""
    encoder: av.AudioCodecContext = av.CodecContext.create("libopus", "w")  # type: ignore[assignment]
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = 48_000, "mono", "s16", bit_rate
    encoder.time_base = Fraction(1, 48_000)
    decoder: av.AudioCodecContext = av.CodecContext.create("libopus", "r")  # type: ignore[assignment]
    decoder.sample_rate, decoder.layout = 48_000, "mono"
    fine = (np.clip(soxr.resample(samples, RATE, 48_000), -1, 1) * 32767).astype(np.int16)
    heard: list[np.ndarray] = []
    for start in range(0, len(fine) - 959, 960):
        frame = av.AudioFrame.from_ndarray(fine[None, start : start + 960], format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48_000, start
        heard += [out.to_ndarray().ravel() for packet in encoder.encode(frame) for out in decoder.decode(packet)]
    sound = np.concatenate(heard)
    return soxr.resample(sound.astype(np.float32) / (32768 if sound.dtype == np.int16 else 1), 48_000, RATE)


SURVIVED = {
    "a tenth of the level": lambda x: x * 0.1,
    "16 bits": lambda x: np.round(x * 32767) / 32768,
    "5 s of it, from anywhere": lambda x: x[12_345 : 12_345 + 5 * RATE],
    "16 kHz": lambda x: through_rate(x, 16_000),
    "8 kHz": lambda x: through_rate(x, 8_000),
    "noise 40 dB below": lambda x: with_noise(x, 40),
    "Opus at 24 kbit/s": lambda x: through_opus(x, 24_000),
}
LOST = {
    "noise 20 dB below": lambda x: with_noise(x, 20),
    "one part in 1,000 faster": lambda x: soxr.resample(x, RATE, RATE * 0.999),
}


@pytest.mark.parametrize("change", SURVIVED.values(), ids=list(SURVIVED))
def test_it_survives(marked: np.ndarray, change):
    assert look(change(marked)).marked
    assert not look(change(marked), OTHER_KEY).marked


@pytest.mark.parametrize("change", LOST.values(), ids=list(LOST))
def test_it_does_not_survive(marked: np.ndarray, change):
    """The documented limits apply."""
    assert not look(change(marked)).marked


def test_what_has_no_mark_is_not_found_to_have_one():
    """40 noises with different keys give no false alarm."""
    source = np.random.default_rng(1)
    scores = [look(source.standard_normal(3 * RATE), f"key number {n}") for n in range(40)]
    assert not any(found.marked for found in scores)
    assert max(found.score for found in scores) > 3.5  # the chance that the score is measured in is there


def test_what_cannot_be_looked_into_is_refused():
    with pytest.raises(InvalidInput, match="at least 1 s"):
        look(np.zeros(RATE - 1))
    with pytest.raises(InvalidInput, match="at least 8 characters"):
        look(np.zeros(2 * RATE), "short")
    with pytest.raises(InvalidInput, match="watermark_key"):
        SpreadSpectrum(sample_rate_hz=RATE, key="")
    assert look(np.zeros(2 * RATE)) == Detection(False, 0.0, 1.0)


def test_the_command_says_what_is_in_a_file(
    marked: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "speech.wav"
    write_wav(path, marked, RATE)
    for key, status, words in ((KEY, 0, "marked with this key"), (OTHER_KEY, 1, "no mark"), ("", 2, "8 characters")):
        monkeypatch.setenv("MIMI_WATERMARK_KEY", key)
        assert detect_watermark.main([str(path)]) == status
        printed = capsys.readouterr()
        assert words in printed.out + printed.err
    assert detect_watermark.main([str(tmp_path / "none.wav")]) == 2
    assert detect_watermark.main([]) == 2
