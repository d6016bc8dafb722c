"""A browser's side of WebRTC for tests: a real aiortc peer on the loopback address."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from services.gateway.ice_policy import IcePolicy
from services.gateway.transport.webrtc.ice import LOOPBACK, apply_policy
from services.gateway.transport.webrtc.playout import RATE_HZ, Playout
from tests.support.waiting import PATIENCE_S

LOOPBACK_ONLY = IcePolicy(bind_addresses=[LOOPBACK])


def tone(hz, seconds, amplitude=0.3, rate=RATE_HZ):
    time = np.arange(round(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def dominant_hz(samples, rate):
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))


class Browser:
    """Offers a microphone track and the data channel that the page makes; collects events and the reply's sound."""

    def __init__(self, *, microphone=True, channel="events"):
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.microphone = Playout() if microphone else None
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

    async def speak(self, samples):
        """Says something, 48 kHz mono, once."""
        assert self.microphone
        await self.microphone.put(samples)
        self.microphone.end_reply()

    async def event(self, name):
        """Waits for the next event of that name; others before it are dropped."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                event = await self.events.get()
                if name in event:
                    return event

    async def hear(self, seconds):
        """Waits until that much sound, loud or silent, has come."""
        async with asyncio.timeout(PATIENCE_S):
            while sum(map(len, self.heard)) < seconds * RATE_HZ:
                await asyncio.sleep(0.02)
        return self.sound()

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
