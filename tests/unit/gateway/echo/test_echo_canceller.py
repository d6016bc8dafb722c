"""Echo cancellation: what is left of a reply's echo, and what is left of the user's speech."""

from __future__ import annotations

import sys
from itertools import cycle

import numpy as np
import pytest

from oviya.audio.resample import Resampler
from oviya.errors import Unavailable
from services.gateway.echo.echo_canceller import EchoCanceller
from services.gateway.echo.webrtc_apm import apm_delay, load_apm
from services.stt.decode.whisper import WhisperRecognizer
from services.stt.endpoint.turn_state import SPEECH_PROBABILITY
from services.stt.endpoint.vad import WINDOW_SAMPLES, SileroVad
from services.stt.recognizer import Request
from services.stt.settings import SttSettings
from tests.support.echo_scenes import EchoPath, leveled, noise, reply, rms
from tests.support.echo_session import PLAYED_HZ, EchoSession
from tests.support.metrics import metric
from tests.support.speech import LONELY, speak, word_errors

RATE_HZ = 16_000
CONVERGED_S = 1.0


@pytest.fixture(scope="module")
def vad():
    return SileroVad()


def speech_windows(vad, sound, rate_hz=RATE_HZ):
    """Whether each window of 32 ms is speech for speech-to-text."""
    resampler = Resampler(rate_hz, RATE_HZ)
    sound = np.concatenate((resampler.push(sound), resampler.flush()))
    stream = vad.stream()
    windows = range(0, len(sound) - WINDOW_SAMPLES + 1, WINDOW_SAMPLES)
    return np.array([stream.probability(sound[i : i + WINDOW_SAMPLES]) > SPEECH_PROBABILITY for i in windows])


def after(seconds, windows):
    return windows[round(seconds * RATE_HZ / WINDOW_SAMPLES) :]


def erle_db(before, cleaned, rate_hz=RATE_HZ, from_s=CONVERGED_S):
    """Echo return loss enhancement: how much weaker the echo is."""
    begin = round(from_s * rate_hz)
    return 20 * np.log10(rms(before[begin:]) / rms(cleaned[begin:]))


def echo_of(seconds, rate_hz=RATE_HZ, **path):
    played = reply(seconds, rate_hz)
    return EchoPath(**path).echo(played, rate_hz) + noise(len(played))


@pytest.mark.parametrize(
    ("path", "network"),
    [
        ({"delay_s": 0.15}, {}),
        ({"delay_s": 0.04, "gain_db": -6.0}, {}),
        ({"delay_s": 0.4, "gain_db": -20.0}, {}),
        ({"delay_s": 0.15, "overdrive": 4.0}, {}),
        ({"delay_s": 0.15, "drift_ppm": 100.0}, {"jitter_s": 0.03}),
        ({"delay_s": 0.15}, {"stalls": (3.0, 3.4)}),
    ],
    ids=["150 ms", "loud", "late", "distorted", "jitter and drift", "stall"],
)
def test_no_echo_is_taken_for_speech(vad, path, network):
    microphone = echo_of(7, **path)
    cleaned = EchoSession(RATE_HZ, reply(7, PLAYED_HZ), **network).clean(microphone)

    assert after(CONVERGED_S, speech_windows(vad, microphone)).mean() > 0.8
    assert not after(CONVERGED_S, speech_windows(vad, cleaned)).any()
    assert erle_db(microphone, cleaned) > 16


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 24_000, 44_100, 48_000])
def test_works_at_every_rate(vad, rate_hz):
    microphone = echo_of(4, rate_hz)
    cleaned = EchoSession(rate_hz, reply(4, PLAYED_HZ)).clean(microphone)

    assert len(cleaned) == len(microphone)
    assert not after(CONVERGED_S, speech_windows(vad, cleaned, rate_hz)).any()
    assert erle_db(microphone, cleaned, rate_hz) > 20


@pytest.mark.parametrize("sizes", [[1], [7, 0, 1600, 1, 333, 159, 161], [16_000]], ids=["1", "odd", "1 s"])
def test_messages_may_have_any_size(sizes):
    microphone = echo_of(3)
    # a message that is empty ends the loop of the session, so it is passed directly
    session = EchoSession(RATE_HZ, reply(3, PLAYED_HZ))
    assert len(session.canceller.clean(microphone[:0], session.starts_at)) == 0
    cleaned = session.clean(microphone, cycle(size for size in sizes if size))

    assert len(cleaned) == len(microphone)
    assert erle_db(microphone, cleaned, from_s=2.0) > 20


def test_an_interruption_is_still_recognized(vad):
    """The user speaks over the reply, which is paused 0.6 s later, when its last echo comes."""
    begin = 3 * RATE_HZ
    user = np.zeros(7 * RATE_HZ, np.float32)
    words = leveled(speak(LONELY, RATE_HZ, "rms"))
    user[begin : begin + len(words)] = words
    heard = reply(7)
    heard[begin + round(0.45 * RATE_HZ) :] = 0
    microphone = EchoPath().echo(heard) + user + noise(len(user))
    cleaned = EchoSession(RATE_HZ, reply(7, PLAYED_HZ), cut_s=3.45).clean(microphone)

    onset, clean_onset = (np.argmax(after(2.9, speech_windows(vad, sound))) for sound in (cleaned, user))
    assert onset - clean_onset <= 6  # 0.2 s
    recognizer = WhisperRecognizer(SttSettings())
    recognizer.load()
    sound = cleaned[begin - 3200 :]
    (transcript,) = recognizer.transcribe([Request(sound, len(words) / RATE_HZ, language="en")])
    assert word_errors(" ".join(word.text for word in transcript.words), LONELY) <= 1


@pytest.mark.parametrize("begin_s", [0.6, 3.0])
@pytest.mark.parametrize("gain_db", [None, -12.0, -20.0])
def test_the_beginning_of_the_users_words_is_kept(vad, gain_db, begin_s):
    begin, length = round(begin_s * RATE_HZ), round(0.4 * RATE_HZ)
    played = reply(begin_s + 1.2)
    words = leveled(speak(LONELY, RATE_HZ, "rms"))[:RATE_HZ]
    words = words[np.argmax(np.abs(words) > 0.02) :]
    user = noise(len(played))
    user[begin : begin + len(words)] += words
    microphone = user if gain_db is None else user + EchoPath(gain_db=gain_db).echo(played)
    cleaned = EchoSession(RATE_HZ, reply(begin_s + 1.2, PLAYED_HZ)).clean(microphone)

    delayed = begin + RATE_HZ // 100 + apm_delay(RATE_HZ)
    kept_db = 20 * np.log10(rms(cleaned[delayed : delayed + length]) / rms(user[begin : begin + length]))
    assert abs(kept_db) < 3
    onset, clean_onset = (np.argmax(after(begin_s, speech_windows(vad, sound))) for sound in (cleaned, user))
    assert onset - clean_onset <= 3  # windows of 32 ms; 18 ms are the delay


def test_what_was_cut_is_no_longer_expected():
    """The user repeats what would have been played, 1.3 s after it was cut."""
    user = echo_of(6, gain_db=0.0)
    user[: round(2.4 * RATE_HZ)] = 0
    session = EchoSession(RATE_HZ, reply(6, PLAYED_HZ), cut_s=1.0)
    cleaned = session.clean(user)
    kept = EchoSession(RATE_HZ, reply(6, PLAYED_HZ)).clean(user)

    begin, delay = round(2.4 * RATE_HZ), RATE_HZ // 100 + apm_delay(RATE_HZ)
    np.testing.assert_array_equal(cleaned[begin + delay :], user[begin:-delay])
    assert rms(kept[begin + RATE_HZ :]) < 0.5 * rms(user[begin + RATE_HZ :])


def test_sound_passes_unchanged_and_free_of_charge_while_nothing_is_played():
    before = metric("gateway_echo_cancellation_seconds_total")
    for rate_hz in (8_000, 16_000, 48_000):
        sound = noise(rate_hz, -20)
        cleaned = EchoSession(rate_hz, np.zeros(0, np.float32)).clean(sound)
        delay = rate_hz // 100 + apm_delay(rate_hz)
        assert delay <= 0.0215 * rate_hz
        np.testing.assert_array_equal(cleaned[delay:], sound[:-delay])
    assert metric("gateway_echo_cancellation_seconds_total") == before


def test_counts_the_seconds_of_the_reply_and_its_tail():
    before = metric("gateway_echo_cancellation_seconds_total")
    EchoSession(RATE_HZ, reply(1, PLAYED_HZ)).clean(noise(4 * RATE_HZ))
    assert metric("gateway_echo_cancellation_seconds_total") - before == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100, 48_000])
def test_begins_and_ends_without_a_click(rate_hz):
    """The reply is heard by nobody, so that a steady tone should come through."""
    tone = (0.1 * np.sin(2 * np.pi * 440 * np.arange(5 * rate_hz) / rate_hz)).astype(np.float32)
    session = EchoSession(rate_hz, reply(1.5, PLAYED_HZ) * np.float32(0.01))
    cleaned = session.clean(tone, begin_s=-1.0)

    assert np.abs(np.diff(cleaned)).max() < 1.1 * np.abs(np.diff(tone)).max()
    assert rms(cleaned[rate_hz:]) > 0.8 * rms(tone)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 32_000, 44_100, 48_000])
def test_the_delay_of_webrtc_is_known(rate_hz):
    """Otherwise its output would not line up with the sound that passes through."""
    spectrum = np.fft.rfft(noise(2 * rate_hz, -20))
    frequency = np.fft.rfftfreq(2 * rate_hz, 1 / rate_hz)
    spectrum[(frequency < 300) | (frequency > 3000)] = 0
    sound = np.fft.irfft(spectrum).astype(np.float32)
    frame = rate_hz // 100
    sound = sound[: len(sound) // frame * frame]
    output = load_apm()(sample_rate=rate_hz, echo_cancellation=True).process(sound, np.zeros_like(sound))

    begin, length = rate_hz, rate_hz // 2
    matches = [np.dot(output[begin:][:length], sound[begin - d :][:length]) for d in range(3 * frame)]
    assert abs(int(np.argmax(matches)) - apm_delay(rate_hz)) <= 4


def test_a_second_reply_is_cancelled_from_its_beginning(vad):
    played = np.concatenate((reply(3), np.zeros(3 * RATE_HZ, np.float32), reply(3)))
    played_24k = np.concatenate((reply(3, PLAYED_HZ), np.zeros(3 * PLAYED_HZ, np.float32), reply(3, PLAYED_HZ)))
    microphone = EchoPath().echo(played) + noise(len(played))
    session = EchoSession(RATE_HZ, played_24k, jitter_s=0.02)
    cleaned = session.clean(microphone)
    assert erle_db(microphone[6 * RATE_HZ :], cleaned[6 * RATE_HZ :], from_s=0.3) > 20
    assert not after(6, speech_windows(vad, cleaned)).any()


def test_recovers_when_the_caller_leaves_sound_out(vad):
    """Half a second of the microphone is lost, so that the echo comes before its reference until this is noticed."""
    microphone = echo_of(14)
    session = EchoSession(RATE_HZ, reply(14, PLAYED_HZ))
    session.clean(microphone[: 3 * RATE_HZ])
    cleaned = session.clean(microphone[round(3.5 * RATE_HZ) :], begin_s=3.5)
    assert not after(6.5, speech_windows(vad, cleaned)).any()


def test_keeps_little_however_long_the_session():
    canceller = EchoCanceller(RATE_HZ)
    silence, second = np.zeros(1600, np.float32), reply(1, PLAYED_HZ)
    for at in range(200):  # a caller without a microphone
        canceller.add_played(second, PLAYED_HZ, float(at))
    assert canceller._played.samples <= 64 * RATE_HZ
    for at in range(200, 400):
        canceller.clean(silence, float(at))
    assert canceller._played.samples == 0
    kept = (canceller._pending, canceller._ready, canceller._delayed)
    assert sum(len(samples) for samples in kept) < 0.1 * RATE_HZ


def test_says_so_where_webrtc_is_missing(monkeypatch):
    load_apm.cache_clear()
    monkeypatch.setitem(sys.modules, "pywebrtc_audio", None)
    try:
        with pytest.raises(Unavailable, match="pywebrtc-audio") as caught:
            EchoCanceller(RATE_HZ)
    finally:
        load_apm.cache_clear()
    assert caught.value.service == "echo_cancellation"
