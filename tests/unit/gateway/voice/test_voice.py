"""The fallback voice: literal, deterministic, streamed, cancellable, obedient."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from contextlib import aclosing

import numpy as np
import pytest

from oviya.errors import InvalidInput, OviyaError
from oviya.v1.emotion_pb2 import ProsodyPlan
from services.gateway.voice import espeak
from services.gateway.voice.espeak import Delivery
from services.gateway.voice.fallback import FallbackVoice
from services.gateway.voice.segment import NEUTRAL_PLAN, VOICE_RATE_HZ

SENTENCE = "Hello there, how are you feeling today? I hear that you feel sad, and I would like to know more about it."


@pytest.fixture
async def voice():
    voice = FallbackVoice()
    yield voice
    await voice.close()


def scaled(**scales):
    plan = ProsodyPlan(pitch_scale=1, rate_scale=1, energy_scale=1)
    plan.MergeFrom(ProsodyPlan(**scales))
    return plan


async def spoken(voice, text, plan=NEUTRAL_PLAN, speaker=0):
    return np.concatenate([chunk async for chunk in voice.speak(text, plan, speaker)])


def fundamental_hz(samples):
    """Geometric mean of F0 over voiced frames, by autocorrelation."""
    size, found = 1024, []
    for start in range(0, len(samples) - size, 256):
        frame = samples[start : start + size].astype(float)
        if np.sqrt(np.mean(frame**2)) < 0.01:
            continue
        spectrum = np.fft.rfft(frame - frame.mean(), 4096)
        correlation = np.fft.irfft(np.abs(spectrum) ** 2)[:size]
        low, high = VOICE_RATE_HZ // 350, VOICE_RATE_HZ // 60
        lag = low + int(np.argmax(correlation[low:high]))
        if correlation[lag] > 0.5 * correlation[0]:
            found.append(VOICE_RATE_HZ / lag)
    return float(np.exp(np.mean(np.log(found))))


async def test_it_sounds_like_speech(voice):
    samples = await spoken(voice, SENTENCE)
    assert samples.dtype == np.float32
    assert 4 < len(samples) / VOICE_RATE_HZ < 9  # 21 words
    assert 0.1 < np.abs(samples).max() <= 1
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    hz = np.fft.rfftfreq(len(samples), 1 / VOICE_RATE_HZ)
    assert spectrum[(hz > 80) & (hz < 4000)].sum() > 0.9 * spectrum.sum()


async def test_same_text_gives_the_same_samples_whatever_was_said_before(voice):
    first = await spoken(voice, SENTENCE, speaker=1)
    await spoken(voice, "Something else entirely.", speaker=3)
    async with aclosing(voice.speak(SENTENCE)) as cut:
        await anext(cut)
    other = FallbackVoice()
    assert np.array_equal(first, await spoken(voice, SENTENCE, speaker=1))
    assert np.array_equal(first, await spoken(other, SENTENCE, speaker=1))
    await other.close()


@pytest.mark.parametrize(
    ("markup", "plain"),
    [
        ("[[h@l'oU]]", "hello"),
        ("<voice name='de'>hallo</voice>", "hallo"),
        ("<break time='3s'/> yes", "yes"),
        ("&lt;b&gt;", "b"),
    ],
)
async def test_markup_is_spoken_not_obeyed(voice, markup, plain):
    assert len(await spoken(voice, markup)) > 1.5 * len(await spoken(voice, plain))


async def test_the_library_would_obey_phonemes_if_asked_to():
    # Proves that the test above can fail: with the flag for phoneme input the same text is one short word.
    obeyed = []
    flags, espeak._CHARS_UTF8 = espeak._CHARS_UTF8, espeak._CHARS_UTF8 | 0x100
    try:
        espeak.synthesize("[[h@l'oU]]", Delivery(), lambda samples: obeyed.append(len(samples)) or True)
    finally:
        espeak._CHARS_UTF8 = flags
    literal = []
    espeak.synthesize("[[h@l'oU]]", Delivery(), lambda samples: literal.append(len(samples)) or True)
    assert sum(literal) > 1.5 * sum(obeyed)


async def test_commands_in_control_characters_are_removed(voice):
    # espeak reads U+0001 and what follows as a command: here it would raise the pitch to its end
    assert np.array_equal(await spoken(voice, "\x01+90P\x01 good morning"), await spoken(voice, "+90P good morning"))


@pytest.mark.parametrize(("scale", "tolerance"), [(0.8, 0.08), (0.9, 0.05), (1.1, 0.05), (1.25, 0.08)])
async def test_pitch_scales_the_fundamental(voice, scale, tolerance):
    neutral = fundamental_hz(await spoken(voice, SENTENCE))
    changed = fundamental_hz(await spoken(voice, SENTENCE, scaled(pitch_scale=scale)))
    assert changed / neutral == pytest.approx(scale, rel=tolerance)


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.25, 2.0])
async def test_rate_scales_the_length(voice, scale):
    neutral = len(await spoken(voice, SENTENCE))
    assert neutral / len(await spoken(voice, SENTENCE, scaled(rate_scale=scale))) == pytest.approx(scale, rel=0.15)


async def test_energy_scales_the_amplitude_without_clipping(voice):
    neutral = await spoken(voice, SENTENCE)
    loud = await spoken(voice, SENTENCE, scaled(energy_scale=2.0))
    assert np.allclose(loud, 2 * neutral, atol=1e-6)
    assert np.abs(loud).max() <= 1


async def test_speakers_sound_different_and_repeat(voice):
    voices = [await spoken(voice, "Good morning.", speaker=speaker) for speaker in range(9)]
    assert len({samples.tobytes() for samples in voices[:8]}) == 8
    assert np.array_equal(voices[0], voices[8])


async def test_the_first_sound_comes_while_the_rest_is_being_made(voice, monkeypatch):
    go_on, original = threading.Event(), espeak.synthesize

    def held_up(text, delivery, emit):
        def emit_and_wait(samples):
            result = emit(samples)
            go_on.wait()
            return result

        original(text, delivery, emit_and_wait)

    whole = await spoken(voice, SENTENCE)
    monkeypatch.setattr(espeak, "synthesize", held_up)
    async with aclosing(voice.speak(SENTENCE)) as pieces:
        first = await anext(pieces)  # the synthesis stands still after its first buffer
        assert len(first) < VOICE_RATE_HZ * 0.1
        go_on.set()
        rest = [piece async for piece in pieces]
    assert np.array_equal(np.concatenate([first, *rest]), whole)


async def test_a_cancelled_reader_stops_the_synthesis(voice, monkeypatch):
    made, original = [], espeak.synthesize

    def counting(text, delivery, emit):
        def counted(samples):
            go_on = emit(samples)
            made.append((len(samples), go_on))
            return go_on

        original(text, delivery, counted)

    monkeypatch.setattr(espeak, "synthesize", counting)
    long_text = "word " * 1600
    async with aclosing(voice.speak(long_text)) as pieces:
        await anext(pieces)
    assert sum(count for count, _ in made) / espeak.SAMPLE_RATE_HZ < 60  # of some 10 minutes
    assert len(await spoken(voice, "And it speaks again.")) > 0


async def test_speaking_at_once_is_the_same_as_one_by_one(voice):
    texts = ["One, two, three.", "The weather is fine.", "Goodbye."]
    alone = [await spoken(voice, text) for text in texts]
    together = await asyncio.gather(*(spoken(voice, text) for text in texts))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


async def test_long_texts_are_spoken_to_their_end(voice):
    long_text = "This is a sentence of a longer text, which goes on. " * 30
    once = len(await spoken(voice, "This is a sentence of a longer text, which goes on."))
    assert len(await spoken(voice, long_text)) == pytest.approx(30 * once, rel=0.05)


@pytest.mark.parametrize("text", ["x" * 4000, "\U0001f600" * 500, "日本語", "...", "?!", "'" * 3000, "\ufffd"])
async def test_odd_texts_are_survived(voice, text):
    samples = await spoken(voice, text)
    assert np.isfinite(samples).all()


@pytest.mark.parametrize("text", ["", "   ", "\x00\x01", "x" * 8193])
async def test_texts_that_cannot_be_spoken_are_refused(voice, text):
    with pytest.raises(InvalidInput) as caught:
        await spoken(voice, text)
    assert caught.value.field == "text"
    assert "8192" in caught.value.limit


@pytest.mark.parametrize(
    ("plan", "speaker", "field"),
    [
        (scaled(pitch_scale=0.4), 0, "plan.pitch_scale"),
        (scaled(rate_scale=float("nan")), 0, "plan.rate_scale"),
        (scaled(energy_scale=2.1), 0, "plan.energy_scale"),
        (NEUTRAL_PLAN, -1, "speaker"),
        (NEUTRAL_PLAN, 65_536, "speaker"),
    ],
)
async def test_what_is_out_of_range_is_refused(voice, plan, speaker, field):
    with pytest.raises(InvalidInput) as caught:
        await spoken(voice, "Hello.", plan, speaker)
    assert caught.value.field == field


def test_failures_come_back_from_the_library():
    with pytest.raises(OviyaError, match="no voice 'xx'"):
        espeak.synthesize("Hello.", Delivery(voice="xx"), lambda _: True)

    def fail(_samples):
        raise RuntimeError("no room")

    with pytest.raises(RuntimeError, match="no room"):
        espeak.synthesize("Hello.", Delivery(), fail)


def test_nothing_stays_behind():
    # In a process of its own: here, whatever else runs in the background moves the figure.
    program = """
from services.gateway.voice import espeak
from services.gateway.voice.espeak import Delivery

def resident_kib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4

def speak(times):
    for _ in range(times):
        espeak.synthesize("Hi.", Delivery(), lambda _: True)
    return resident_kib()

print(-speak(100) + speak(300))
"""
    grown = int(subprocess.check_output([sys.executable, "-c", program], text=True))
    assert grown < 300  # KiB; the library's own leak was 600
