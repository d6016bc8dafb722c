"""Microphone: any frame format to 16 kHz mono, whatever is lost on the way."""

from __future__ import annotations

import asyncio
from fractions import Fraction

import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame

from oviya.audio.frames import planes
from services.gateway.transport.webrtc import microphone
from services.gateway.transport.webrtc.microphone import RATE_HZ, Microphone


class FakeTrack(MediaStreamTrack):
    """A track that gives what is put into it; None ends it."""

    kind = "audio"

    def __init__(self):
        super().__init__()
        self.frames = asyncio.Queue()

    async def recv(self):
        frame = await self.frames.get()
        if frame is None:
            raise MediaStreamError
        return frame


def frame_of(values, rate=48_000, layout="stereo", sample_format="s16", pts=0):
    frame = AudioFrame.from_ndarray(values, format=sample_format, layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = rate, pts, Fraction(1, rate)
    return frame


def tone_frames(hz, seconds, rate=48_000, amplitude=0.5):
    """A tone as 20 ms stereo frames."""
    time = np.arange(round(seconds * rate)) / rate
    values = np.rint(amplitude * 32767 * np.sin(2 * np.pi * hz * time)).astype(np.int16)
    size = rate // 50
    return [
        frame_of(np.repeat(values[at : at + size], 2)[None], rate, pts=at)
        for at in range(0, len(values) - size + 1, size)
    ]


async def heard(frames):
    track = FakeTrack()
    for frame in frames:
        track.frames.put_nowait(frame)
    track.frames.put_nowait(None)
    pieces = [piece async for piece in Microphone(track).pieces()]
    return np.frombuffer(b"".join(pieces), "<i2").astype(np.float32) / 32768


def mixed(frame):
    return Microphone(FakeTrack())._mono(frame)


def test_stereo_is_averaged_and_never_overflows():
    loud = np.tile(np.array([[30000, 30000, -30000, -20000]], np.int16), (1, 100))
    assert mixed(frame_of(loud)) == pytest.approx(np.tile([30000, -25000], 100) / 32768)


async def test_a_microphone_whose_channels_are_out_of_phase_is_heard():
    frames = list(tone_frames(440, 1.0, 48_000))
    assert np.abs(await heard(frames)).max() > 0.05
    turned = []
    for frame in frames:
        values = frame.to_ndarray().copy()
        values[0, 1::2] = -values[0, ::2]
        turned.append(frame_of(values, pts=frame.pts or 0))
    assert np.abs(await heard(turned)).max() == pytest.approx(np.abs(await heard(frames)).max(), rel=0.05)


@pytest.mark.parametrize(
    ("sample_format", "values"),
    [
        ("s16", np.array([[16384, -16384]], np.int16)),
        ("s16p", np.array([[16384, -16384]], np.int16)),
        ("s32", np.array([[1 << 30, -(1 << 30)]], np.int32)),
        ("flt", np.array([[0.5, -0.5]], np.float32)),
        ("fltp", np.array([[0.5, -0.5]], np.float32)),
        ("dbl", np.array([[0.5, -0.5]], np.float64)),
        ("u8", np.array([[192, 64]], np.uint8)),
    ],
)
def test_every_sample_format_has_the_same_scale(sample_format, values):
    assert planes(frame_of(values, layout="mono", sample_format=sample_format)) == pytest.approx(
        np.array([[0.5, -0.5]])
    )


def test_planar_stereo_is_averaged_too():
    values = np.tile(np.array([[0.5, -0.5], [0.1, -0.3]], np.float32), (1, 100))
    assert mixed(frame_of(values, sample_format="fltp")) == pytest.approx(np.tile([0.3, -0.4], 100))


@pytest.mark.parametrize("rate", [48_000, 16_000, 8_000])
async def test_a_tone_keeps_its_pitch_level_and_length(rate):
    samples = await heard(tone_frames(440, 1.0, rate))
    assert len(samples) == pytest.approx(RATE_HZ, abs=2)
    middle = samples[2000:14_000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.argmax(spectrum) * RATE_HZ / len(middle) == pytest.approx(440, abs=2)
    assert np.sqrt(2) * middle.std() == pytest.approx(0.5, abs=0.01)


async def test_lost_packets_become_silence_of_their_length():
    frames = tone_frames(440, 1.0)
    lost = frames[:20] + frames[30:]  # 200 ms are missing
    samples = await heard(lost)
    assert len(samples) == pytest.approx(len(await heard(frames)), abs=2)
    gap = samples[round(0.42 * RATE_HZ) : round(0.58 * RATE_HZ)]
    assert np.abs(gap).max() < 0.01
    assert np.abs(samples[round(0.65 * RATE_HZ) :]).max() > 0.4


async def test_an_absurd_gap_is_not_filled_whole():
    frames = tone_frames(440, 0.2)
    frames.append(frame_of(np.zeros((1, 1920), np.int16), pts=48_000 * 3600))
    assert len(await heard(frames)) < RATE_HZ * (0.3 + microphone.MAX_GAP_S)


async def test_timestamps_that_go_back_add_nothing():
    frames = tone_frames(440, 0.4)
    again = tone_frames(440, 0.4)
    assert len(await heard(frames + again)) == pytest.approx(0.8 * RATE_HZ, abs=2)


async def test_a_sender_that_pauses_is_silence_in_real_time_and_not_twice(monkeypatch):
    monkeypatch.setattr(microphone, "SILENCE_AFTER_S", 0.02)
    track = FakeTrack()
    pieces = Microphone(track).pieces()
    frames = tone_frames(440, 1.0)
    for frame in frames[:10]:
        track.frames.put_nowait(frame)
    samples = 0
    while samples < 0.4 * RATE_HZ:  # 200 ms of sound, then silence comes although nothing was sent
        samples += len(await anext(pieces)) // 2
    for frame in frames[30:]:  # 400 ms were never sent, of which at least 180 have been filled in already
        track.frames.put_nowait(frame)
    track.frames.put_nowait(None)
    async for piece in pieces:
        samples += len(piece) // 2
    assert samples / RATE_HZ == pytest.approx(1.0, abs=0.05)


async def test_nothing_comes_before_the_first_packet(monkeypatch):
    monkeypatch.setattr(microphone, "SILENCE_AFTER_S", 0.005)
    track = FakeTrack()
    pieces = Microphone(track).pieces()
    first = asyncio.ensure_future(anext(pieces))
    done, _ = await asyncio.wait({first}, timeout=0.05)
    assert not done
    for frame in tone_frames(440, 0.1):
        track.frames.put_nowait(frame)
    assert len(await first) > 0
    await pieces.aclose()


async def test_a_codec_that_changes_is_followed():
    samples = await heard(tone_frames(440, 0.5, 48_000) + tone_frames(440, 0.5, 8_000))
    assert len(samples) == pytest.approx(RATE_HZ, abs=4)


async def test_leaving_cancels_the_read():
    track = FakeTrack()
    track.frames.put_nowait(tone_frames(440, 0.02)[0])
    pieces = Microphone(track).pieces()
    reading = asyncio.ensure_future(anext(pieces))
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await pieces.aclose()  # the fixture finds a task that stays behind


async def test_timestamps_that_jump_do_not_multiply_the_sound():
    frames = tone_frames(440, 4.0)
    for index, frame in enumerate(frames):
        frame.pts = (frame.pts or 0) + index * 96_000  # 2 s are missing before each 20 ms
    samples = await heard(frames)
    assert len(samples) / RATE_HZ < 4.0 + microphone.MAX_AHEAD_S + 0.5


async def test_gaps_are_filled_for_as_long_as_time_passes():
    now = 0.0
    track = FakeTrack()
    pieces = Microphone(track, lambda: now).pieces()
    samples = 0
    for index, frame in enumerate(tone_frames(440, 0.5)):  # each second one packet comes
        frame.pts = (frame.pts or 0) + index * 48_000
        now += 1.02
        track.frames.put_nowait(frame)
        samples += len(await anext(pieces)) // 2
    await pieces.aclose()
    assert samples / RATE_HZ == pytest.approx(25 * 1.02, abs=1.1)


async def test_long_quiet_comes_in_longer_pieces_and_sound_at_once():
    track = FakeTrack()
    pieces = Microphone(track).pieces()
    quiet, loud = np.zeros((1, 1920), np.int16), np.full((1, 1920), 8000, np.int16)
    index = 0

    async def lengths(values, count):
        """Puts frames of 20 ms one by one; returns the length of each piece that comes, in frames."""
        nonlocal index, reading
        given = []
        for _ in range(count):
            track.frames.put_nowait(frame_of(values, pts=index * 960))
            index += 1
            for _ in range(5):
                await asyncio.sleep(0)
            if reading.done():
                given.append(round(len(reading.result()) / 640))
                reading = asyncio.ensure_future(anext(pieces))
        return given

    reading = asyncio.ensure_future(anext(pieces))
    assert max(await lengths(quiet, 100)) <= 2  # as the resampler gives them: a turn may be ending
    await lengths(quiet, 10)
    assert min(await lengths(quiet, 100)) >= 5
    assert max((await lengths(loud, 10))[1:]) <= 2  # at once, and with the first one what was held
    assert max(await lengths(quiet, 100)) <= 2
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await pieces.aclose()
