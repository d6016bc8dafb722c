"""The voice that speaks where CSM cannot: espeak-ng, streamed as it is synthesized, cancellable at any point."""

from __future__ import annotations

import asyncio
import math
import re
import threading
import unicodedata
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from oviya.audio.pcm import S16_FULL_SCALE, Pcm
from oviya.audio.resample import Resampler
from oviya.errors import InvalidInput
from services.gateway.voice import espeak
from services.gateway.voice.espeak import Delivery, Samples16

SAMPLE_RATE_HZ = 24_000
"""Rate of what `FallbackVoice.speak` yields: Mimi's, so that both voices take the same path."""
ACTIVE_LEVEL_DBOV = -26.0
"""Level of its speech at energy 1, for `loudness.Loudness`; measured over the voices below: -28 to -24."""
MAX_TEXT_CHARS = 8192
MAX_SPEAKER = 65_535

# Clear voices that differ in pitch and timbre; speaker ids beyond them start over.
_VARIANTS = ("", "+f2", "+m3", "+f4", "+m7", "+f1", "+m1", "+f5")
_RATE_EXPONENT = 0.9  # espeak gets faster, and slower, by more than it is told
_HEADROOM = 0.5  # the loudest energy scale, 2, then just reaches full scale
_PIECE_CHARS = 600  # synthesized at once: what a cancelled or slow listener can leave lying about, about 40 s
_WORD_CHARS = 80  # longer words come from no language
_BREAKS = (re.compile(r"[.!?…]['\")\]]*+\s"), re.compile(r"[,;:—]\s"), re.compile(r"\s"))


class Prosody(Protocol):
    """What a prosody plan says that a synthesizer can do; `oviya.v1.emotion_pb2.ProsodyPlan` is one."""

    @property
    def pitch_scale(self) -> float:
        """Factor on fundamental frequency, 0.5 to 2."""
        ...

    @property
    def rate_scale(self) -> float:
        """Factor on speaking rate, 0.5 to 2; above 1 is faster."""
        ...

    @property
    def energy_scale(self) -> float:
        """Factor on amplitude, 0.25 to 2."""
        ...


@dataclass(frozen=True)
class Scales:
    """A `Prosody` by itself."""

    pitch_scale: float = 1.0
    rate_scale: float = 1.0
    energy_scale: float = 1.0


NEUTRAL = Scales()


class FallbackVoice:
    """espeak-ng on a thread of its own.

    The same text, prosody and speaker always give the same samples.
    """

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="espeak")

    async def warm_up(self) -> None:
        """Speaks one word into nothing.

        Raises:
            OviyaError: espeak-ng is not there or does not work.
        """
        async for _ in self.speak("Ready."):
            pass

    async def speak(
        self, text: str, prosody: Prosody = NEUTRAL, speaker: int = 0, language: str = "en"
    ) -> AsyncGenerator[Pcm]:
        """Speaks `text` literally: nothing in it is markup.

        Args:
            text: 1 to 8192 characters.
            prosody: scales of pitch, rate and energy.
            speaker: 0 to 65535; there are 8 voices, which repeat.
            language: what to read the text in, a language of espeak-ng, e.g. "cmn".

        Yields:
            Pieces of at most some 60 ms at 24 kHz, shape (samples,), full scale 1.0, as soon as they are made; they
            end with the pause that follows a sentence (0.3 s at the normal rate).

        Raises:
            InvalidInput: a text that is empty or too long, a scale or a speaker out of range.
        """
        delivery, amplitude = _delivery(prosody, speaker, language), _HEADROOM * prosody.energy_scale
        resampler = Resampler(espeak.SAMPLE_RATE_HZ, SAMPLE_RATE_HZ)
        for piece in _pieces(_literal(text)):
            async for samples in self._synthesize(piece, delivery):
                resampled = resampler.push(samples.astype(np.float32) * np.float32(amplitude / S16_FULL_SCALE))
                if len(resampled):
                    yield resampled
        if len(rest := resampler.flush()):
            yield rest

    async def close(self) -> None:
        """Ends the thread; every `speak` must have ended."""
        await asyncio.to_thread(self._worker.shutdown)

    async def _synthesize(self, text: str, delivery: Delivery) -> AsyncGenerator[Samples16]:
        loop = asyncio.get_running_loop()
        made: asyncio.Queue[Samples16 | None] = asyncio.Queue()
        cancelled = threading.Event()

        def emit(samples: Samples16) -> bool:
            if not cancelled.is_set():
                loop.call_soon_threadsafe(made.put_nowait, samples)
            return not cancelled.is_set()

        synthesis = loop.run_in_executor(self._worker, espeak.synthesize, text, delivery, emit)
        synthesis.add_done_callback(lambda _: made.put_nowait(None))
        try:
            while (samples := await made.get()) is not None:
                yield samples
            await synthesis  # raises what went wrong
        finally:
            cancelled.set()
            synthesis.cancel()  # only a synthesis that has not begun; a running one stops within a few ms
            await asyncio.wait({synthesis})


def _delivery(prosody: Prosody, speaker: int, language: str) -> Delivery:
    """Maps scales to espeak's parameters.

    espeak's mean F0 follows its pitch p and range r as 22 + 68 * 2^((p - 50) / 50) + 13 + 0.36 (r - 50) Hz (measured on
    "en-us" of espeak-ng 1.52), and its excursion in Hz follows r alone.  Range is set so that the excursion keeps its
    size in semitones, pitch so that the mean is scaled; the parameters' ends are reached at 0.57 and 1.77.
    """
    for name, value, low in (
        ("pitch_scale", prosody.pitch_scale, 0.5),
        ("rate_scale", prosody.rate_scale, 0.5),
        ("energy_scale", prosody.energy_scale, 0.25),
    ):
        if not low <= value <= 2:
            raise InvalidInput(f"plan.{name}", value, f"must be {low} to 2")
    if not 0 <= speaker <= MAX_SPEAKER:
        raise InvalidInput("speaker", speaker, f"must be 0 to {MAX_SPEAKER}")
    scale = prosody.pitch_scale
    return Delivery(
        voice=("en-us" if language == "en" else language) + _VARIANTS[speaker % len(_VARIANTS)],
        rate_wpm=round(espeak.NORMAL_RATE_WPM * prosody.rate_scale**_RATE_EXPONENT),
        pitch=_clamp(50 + 50 * math.log2(1.181 * scale - 0.181)),
        pitch_range=_clamp(50 + 63 * (scale - 1)),
    )


def _clamp(value: float) -> int:
    return min(max(round(value), 0), 99)


def _literal(text: str) -> str:
    """Removes what espeak would obey or stumble over: control and private-use characters, endless words.

    Raises:
        InvalidInput: too long, or nothing is left.
    """
    if len(text) > MAX_TEXT_CHARS:
        raise InvalidInput("text", f"{len(text)} characters", f"must be 1 to {MAX_TEXT_CHARS} characters")
    printable = "".join(" " if unicodedata.category(c) in ("Cc", "Cn", "Co", "Cs") else c for c in text)
    words = " ".join(printable.split())
    if not words:
        raise InvalidInput("text", text, f"must be 1 to {MAX_TEXT_CHARS} characters that can be spoken")
    return re.sub(rf"(\S{{{_WORD_CHARS}}})(?=\S)", r"\1 ", words)


def _pieces(text: str) -> Iterator[str]:
    """Cuts `text` where a speaker would pause, into pieces of at most 600 characters."""
    while len(text) > _PIECE_CHARS:
        ends = ([found.end() for found in breaks.finditer(text, 0, _PIECE_CHARS)] for breaks in _BREAKS)
        cut = next(found[-1] for found in ends if found)  # there is white space: words are shorter than a piece
        yield text[:cut].rstrip()
        text = text[cut:]
    yield text
