"""Opus packets of the reply's sound, with discontinuous transmission.

aiortc sends packets from a track as they are.  Encoding here instead of in aiortc makes them mono, and nothing has to
be encoded or sent while there is silence, which is most of a session.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from av import AudioFrame, CodecContext
from av.packet import Packet

from oviya.audio.pcm import Pcm
from services.gateway.transport.webrtc.playout_queue import FRAME_SAMPLES, RATE_HZ

BIT_RATE = 64_000
"""Bits per second: fullband mono speech without audible loss, in the range that RFC 7587, 3.1.1, names for music."""
HANGOVER_FRAMES = 10
"""Frames of silence that are encoded after sound, before the stream becomes discontinuous: libopus waits as long."""
SILENT_FRAMES = 20
"""Frames for which one packet is sent while the stream is discontinuous: every 400 ms, as libopus does."""
_CONFIGURATION = 31 << 3
"""First byte of each packet (RFC 6716, table 2): CELT, fullband, 20 ms, mono, one frame."""
_DIGITAL_SILENCE = bytes([_CONFIGURATION, 0xFF, 0xFE])
"""What libopus encodes zeros to with full range.  A decoder then fills the pauses with zeros instead of faint noise."""
_NO_SOUND = bytes([_CONFIGURATION])
"""A frame of no bytes: Opus DTX (RFC 6716, 3.2.1)."""
_TIME_BASE = Fraction(1, RATE_HZ)
_SILENCE = np.zeros(FRAME_SAMPLES, np.float32)


class OpusStream:
    """Encodes 20 ms frames."""

    def __init__(self) -> None:
        self._codec = CodecContext.create("libopus", "w")
        self._codec.bit_rate = BIT_RATE
        self._codec.format = "s16"
        self._codec.layout = "mono"
        self._codec.sample_rate = RATE_HZ
        self._codec.time_base = _TIME_BASE
        # Every packet is wanted at once, and CELT alone has a look-ahead of 2.5 ms instead of 6.5 ms.
        self._codec.options = {"application": "lowdelay", "compression_level": "5"}
        self._silent_frames = 0

    @property
    def discontinuous(self) -> bool:
        """Whether only one packet of `SILENT_FRAMES` is due while the silence lasts."""
        return self._silent_frames >= HANGOVER_FRAMES

    def encode(self, samples: Pcm | None, timestamp: int) -> Packet:
        """Returns the packet of 20 ms of sound, shape (960,), full scale 1.0; None: silence.

        Args:
            timestamp: the sound's time in samples.
        """
        self._silent_frames = self._silent_frames + 1 if samples is None else 0
        if self._silent_frames > HANGOVER_FRAMES:
            packet = Packet(_NO_SOUND)
        else:
            packet = self._encode(_SILENCE if samples is None else samples)
            if self._silent_frames == HANGOVER_FRAMES:
                packet = Packet(_DIGITAL_SILENCE)
        packet.pts, packet.time_base = timestamp, _TIME_BASE
        return packet

    def _encode(self, samples: Pcm) -> Packet:
        values = np.clip(np.rint(samples * 32767), -32767, 32767).astype(np.int16)
        frame = AudioFrame.from_ndarray(values[np.newaxis], format="s16", layout="mono")
        frame.sample_rate, frame.time_base = RATE_HZ, _TIME_BASE
        (packet,) = self._codec.encode(frame)
        return packet
