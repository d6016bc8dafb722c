"""Loudness of the reply: speech-level normalisation, gain, and a look-ahead limiter that never clips.

Speech is first brought to -26 dBov, the active speech level of telephony's speech databases and codec tests (ITU-T P.56
defines the measure, P.830 the level).  The gain of 3.5 (10.9 dB) takes it to -15 dBov, the level of voice assistants
and podcasts (-14 to -16 LUFS).  Speech peaks are about 15 dB above the active level, so the loudest syllables just
reach full scale.  The limiter therefore affects peaks only, by a few dB, and releases slowly: it lowers the volume for
a moment and does not distort the waveform.

* The level of a source is measured in its active frames only and kept from sentence to sentence, so that pauses do not
  cause pumping and short answers are as loud as long ones.  Once known, it changes by a fraction of a dB a second.
* The loudness that a prosody plan asks for is preserved: the level is measured as if the energy scale were 1.
* Peaks are limited as in broadcast limiters: the minimum of the required gain over the look-ahead is held, released
  exponentially, and smoothed by a window as long as the look-ahead, so that the required gain is reached in time.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from oviya.audio.pcm import Pcm

TARGET_DBOV = -26.0
"""Active speech level before the gain, in dB relative to full scale (ITU-T P.830)."""
DEFAULT_GAIN = 3.5
"""Linear gain of the original design (10.9 dB)."""
DEFAULT_CEILING = 10 ** (-1 / 20)
"""-1 dBFS: EBU R 128's margin for peaks between the samples, which resampling and Opus add."""
LOOKAHEAD_S = 0.005
"""Look-ahead of the limiter; the delay is at most twice that, since whole blocks are processed."""

_RELEASE_S = 0.120  # longer than a pitch period, so that the gain does not follow the waveform; shorter than a syllable
_FRAME_BLOCKS = 4  # blocks in a level frame of 20 ms
_ACTIVE_RANGE_DB = 15.9  # P.56: speech is active within 15.9 dB of its level
_SILENCE_DBOV = -60.0
_PEAK_DECAY_DB_PER_S = 3.0  # of the peak that defines which frames are active
_PRIOR_FRAMES = 10  # weight of the expected level: 0.2 s of speech
_MEMORY_FRAMES = 500  # of active speech: 10 s
_MAX_BOOST_DB, _MAX_CUT_DB = 24.0, 24.0
_MAX_SAMPLE = 8.0  # 18 dB above full scale; larger values are faults, not peaks

_Float64 = NDArray[np.float64]


class Loudness:
    """Streaming loudness of one voice.

    The output has as many samples as the input and does not depend on the sizes of the input's chunks.  No output
    sample exceeds the ceiling, whatever the input; NaN and infinities become silence.

    Args:
        sample_rate_hz: rate of the samples, at least 8000.
        expected_dbov: active level of the source, as far as known; used until enough was measured.
        gain: linear gain after normalisation.
        ceiling: largest absolute value of the output, greater than 0, at most 1.
    """

    def __init__(
        self,
        sample_rate_hz: int,
        *,
        expected_dbov: float = TARGET_DBOV,
        gain: float = DEFAULT_GAIN,
        ceiling: float = DEFAULT_CEILING,
    ) -> None:
        if sample_rate_hz < 8000 or gain <= 0 or not 0 < ceiling <= 1:
            raise ValueError(f"rate {sample_rate_hz} Hz, gain {gain} or ceiling {ceiling} is out of range")
        self._block = round(LOOKAHEAD_S * sample_rate_hz)
        self._gain = gain
        self.level = _ActiveLevel(expected_dbov, self._block * _FRAME_BLOCKS / sample_rate_hz)
        self._applied = self._wanted = self._normalising_gain()
        self._limiter = _Limiter(self._block, sample_rate_hz, ceiling)
        self._waiting = np.zeros(0)
        self._neutral = np.zeros(0)  # the same samples at energy scale 1
        self._frame_power = 0.0
        self._frame_blocks = 0

    def process(self, samples: Pcm, energy_scale: float = 1.0) -> Pcm:
        """Takes samples, shape (samples,), and returns those that are complete, delayed by at most 10 ms.

        Args:
            samples: the next samples.
            energy_scale: factor that the source has applied to the amplitude; it is preserved.
        """
        clean = np.clip(np.where(np.isfinite(samples), samples, 0.0).astype(np.float64), -_MAX_SAMPLE, _MAX_SAMPLE)
        self._waiting = np.concatenate((self._waiting, clean))
        self._neutral = np.concatenate((self._neutral, clean / energy_scale))
        return self._process_blocks(len(self._waiting) // self._block)

    def flush(self) -> Pcm:
        """Ends a sentence and returns the rest.  The measured level is kept."""
        missing = -len(self._waiting) % self._block
        self._waiting = np.pad(self._waiting, (0, missing))
        self._neutral = np.pad(self._neutral, (0, missing))
        done = self._process_blocks(len(self._waiting) // self._block)
        self._frame_power, self._frame_blocks = 0.0, 0
        tail = np.concatenate((done, self._limiter.flush()))
        return tail[: len(tail) - missing]

    def _process_blocks(self, count: int) -> Pcm:
        """Takes the next `count` blocks that wait and returns those that are complete."""
        if not count:
            return np.zeros(0, np.float32)
        end = count * self._block
        blocks, self._waiting = self._waiting[:end].reshape(count, self._block), self._waiting[end:]
        neutral, self._neutral = self._neutral[:end].reshape(count, self._block), self._neutral[end:]
        return self._limiter.push(blocks * self._gains(np.mean(neutral**2, axis=1)))

    def _gains(self, powers: _Float64) -> _Float64:
        """Returns the gain of each sample for the level so far, shape (blocks, block).

        A change of the gain is spread over one block.

        Args:
            powers: mean square of each block at energy scale 1, shape (blocks,).
        """
        edges = [self._applied]
        for power in powers.tolist():
            edges.append(self._wanted)
            self._frame_power += power
            self._frame_blocks += 1
            if self._frame_blocks == _FRAME_BLOCKS:
                self.level.update(self._frame_power / _FRAME_BLOCKS)
                self._frame_power, self._frame_blocks = 0.0, 0
                self._wanted = self._normalising_gain()
        self._applied = edges[-1]
        gains = np.array(edges)
        ramp = np.arange(1, self._block + 1) / self._block
        return (gains[:-1, None] + np.diff(gains)[:, None] * ramp) * self._gain

    def _normalising_gain(self) -> float:
        boost_db = min(max(TARGET_DBOV - self.level.dbov, -_MAX_CUT_DB), _MAX_BOOST_DB)
        return 10 ** (boost_db / 20)


class _ActiveLevel:
    """Running level of the active frames."""

    def __init__(self, expected_dbov: float, frame_s: float) -> None:
        self._expected_dbov = expected_dbov
        self._power = 0.0
        self._frames = 0
        self._peak = 10 ** (expected_dbov / 10)  # so that a breath before the first word is not active
        self._decay = 10 ** (-_PEAK_DECAY_DB_PER_S * frame_s / 10)

    @property
    def dbov(self) -> float:
        """The level as measured so far, at energy scale 1."""
        if not self._frames:
            return self._expected_dbov
        measured = 10 * math.log10(self._power) * self._frames
        return (self._expected_dbov * _PRIOR_FRAMES + measured) / (_PRIOR_FRAMES + self._frames)

    def update(self, power: float) -> None:
        """Takes the mean square of the next frame."""
        self._peak = max(power, self._peak * self._decay)
        if power < 10 ** (_SILENCE_DBOV / 10) or power < self._peak * 10 ** (-_ACTIVE_RANGE_DB / 10):
            return
        self._frames = min(self._frames + 1, _MEMORY_FRAMES)
        self._power += (power - self._power) / self._frames


class _Limiter:
    """Delays the signal by one block of `block` samples and keeps it below the ceiling."""

    def __init__(self, block: int, sample_rate_hz: int, ceiling: float) -> None:
        self._block = block
        self._ceiling = ceiling
        window = np.hanning(block + 2)[1:-1]
        self._window = window / window.sum()
        # release factor after 1, 2 ... block samples
        self._powers = math.exp(-1 / (_RELEASE_S * sample_rate_hz)) ** np.arange(1, block + 1)
        self._reset()

    def _reset(self) -> None:
        self._held = np.zeros(0)  # the delayed block
        self._cuts = np.zeros(self._block)  # required reduction of the held block's samples
        self._tail = np.zeros(self._block - 1)  # last held-and-released reductions, for the window
        self._released = 0.0

    def push(self, blocks: _Float64) -> Pcm:
        """Takes blocks, shape (blocks, block); returns as many from one block before, the first time one less."""
        cuts = np.concatenate((self._cuts[None], 1 - self._ceiling / np.maximum(np.abs(blocks), self._ceiling)))
        # reduction required at each held sample: the largest from itself to one look-ahead later, i.e. to the end of
        # its block and from the start of the next block
        held = np.maximum.accumulate(cuts[:-1, ::-1], axis=1)[:, ::-1]
        held[:, 1:] = np.maximum(held[:, 1:], np.maximum.accumulate(cuts[1:, :-1], axis=1))
        falling = np.concatenate((self._tail, self._release(held).ravel()))
        smooth: _Float64 = np.asarray(np.convolve(falling, self._window, "valid"), np.float64)  # (blocks * block,)
        self._tail, self._cuts = falling[1 - self._block :], cuts[-1]
        sound = np.concatenate((self._held, blocks.ravel()))
        self._held = sound[-self._block :]
        previous = sound[: -self._block]
        return self._limited(previous, smooth[len(smooth) - len(previous) :])

    def flush(self) -> Pcm:
        """Returns the held block and resets the limiter."""
        last = self.push(np.zeros((1, self._block)))
        self._reset()
        return last

    def _release(self, held: _Float64) -> _Float64:
        """Lets reductions, shape (blocks, block), fall exponentially after their peaks."""
        peaks = np.maximum.accumulate(held / self._powers, axis=1)
        starts: list[float] = []
        for peak in peaks[:, -1].tolist():
            starts.append(self._released)
            self._released = max(self._released, peak) * float(self._powers[-1])
        released: _Float64 = np.maximum(peaks, np.array(starts)[:, None])
        return np.asarray(released * self._powers, np.float64)

    def _limited(self, sound: _Float64, reduction: _Float64) -> Pcm:
        # the clip removes rounding errors only: the reduction is sufficient by construction
        top = np.nextafter(np.float32(self._ceiling), np.float32(0))
        return np.clip((sound * (1 - reduction)).astype(np.float32), -top, top)
