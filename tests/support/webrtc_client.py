"""A browser's side of WebRTC for tests: a real aiortc peer on the loopback address."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from fractions import Fraction

import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame

from services.gateway.ice_policy import IcePolicy
from services.gateway.transport.webrtc.ice import LOOPBACK, apply_policy
from services.gateway.transport.webrtc.playout_queue import FRAME_S, FRAME_SAMPLES, RATE_HZ
from tests.support.waiting import PATIENCE_S

LOOPBACK_ONLY = IcePolicy(bind_addresses=[LOOPBACK])


def tone(hz, seconds, amplitude=0.3, rate=RATE_HZ):
    time = np.arange(round(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def dominant_hz(samples, rate):
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))


class SpokenTrack(MediaStreamTrack):
    """A microphone: says what it is given, else silence or noise, 50 frames a second as browsers do."""

    kind = "audio"

    def __init__(self, noise=0.0):
        super().__init__()
        self.noise = noise
        self.pace = 1.0
        self._said = np.zeros(0, np.float32)
        self._started_at = None
        self._frames = 0
        self._rng = np.random.default_rng(0)

    def say(self, samples):
        """Adds sound, 48 kHz mono."""
        self._said = np.concatenate((self._said, samples))

    async def recv(self):
        loop = asyncio.get_running_loop()
        self._started_at = self._started_at or loop.time()
        await asyncio.sleep(max(0.0, self._started_at + self._frames * FRAME_S / self.pace - loop.time()))
        if self.readyState != "live":
            raise MediaStreamError
        taken, self._said = self._said[:FRAME_SAMPLES], self._said[FRAME_SAMPLES:]
        samples = np.pad(taken, (0, FRAME_SAMPLES - len(taken)))
        if self.noise:
            samples = samples + self._rng.normal(0, self.noise, FRAME_SAMPLES)
        values = np.clip(np.rint(samples * 32767), -32767, 32767).astype(np.int16)
        frame = AudioFrame.from_ndarray(np.repeat(values, 2)[np.newaxis], format="s16", layout="stereo")
        frame.sample_rate, frame.time_base = RATE_HZ, Fraction(1, RATE_HZ)
        frame.pts = self._frames * FRAME_SAMPLES
        self._frames += 1
        return frame


class Browser:
    """Offers a microphone track and the data channel that the page makes; collects events and the reply's sound."""

    def __init__(self, *, microphone=True, channel="events"):
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.microphone = SpokenTrack() if microphone else None
        self.events = asyncio.Queue()
        self.heard = []
        self.opened, self.closed = asyncio.Event(), asyncio.Event()
        self._reading = []
        if self.microphone:
            self.connection.addTrack(self.microphone)
        else:
            self.connection.addTransceiver("audio", direction="recvonly")
        self.channel = self.connection.createDataChannel(channel)
        self.channel.on("open", self.opened.set)
        self.channel.on("close", self.closed.set)
        self.channel.on("message", lambda message: self.events.put_nowait(json.loads(message)))
        self.connection.on("track", lambda track: self._reading.append(asyncio.ensure_future(self._listen(track))))

    async def offer(self):
        """The SDP offer, with all candidates."""
        apply_policy(LOOPBACK_ONLY, self.connection)
        await self.connection.setLocalDescription()
        return self.connection.localDescription.sdp

    async def connect(self, answer):
        """Takes the answer and waits for the data channel."""
        await self.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        async with asyncio.timeout(PATIENCE_S):
            await self.opened.wait()

    def send(self, message):
        self.channel.send(message if isinstance(message, (str, bytes)) else json.dumps(message))

    def speak(self, samples):
        """Says something, 48 kHz mono, once."""
        assert self.microphone
        self.microphone.say(samples)

    async def event(self, name):
        """Waits for the next event of that name; others before it are dropped."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                event = await self.events.get()
                if name in event:
                    return event

    def sound(self):
        """What was heard so far, 48 kHz mono."""
        return np.concatenate([np.zeros(0, np.float32), *self.heard])

    async def close(self):
        await self.connection.close()
        for task in self._reading:
            task.cancel()
        await asyncio.gather(*self._reading, return_exceptions=True)

    async def _listen(self, track):
        try:
            while True:
                frame = await track.recv()
                values = frame.to_ndarray().reshape(-1, frame.layout.nb_channels)
                self.heard.append(values.mean(axis=1).astype(np.float32) / 32768)
        except MediaStreamError:
            pass


@asynccontextmanager
async def browser(**options):
    """A browser that is closed at the end."""
    one = Browser(**options)
    try:
        yield one
    finally:
        await one.close()
