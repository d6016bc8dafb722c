"""The fallback voice: espeak-ng, streamed as it is synthesized, cancellable at any point."""

from __future__ import annotations

import asyncio
import math
import re
import threading
import unicodedata
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from oviya.audio.pcm import S16_FULL_SCALE, Pcm
from oviya.audio.resample import Resampler
from oviya.errors import InvalidInput
from oviya.text.segmenter import Segmenter
from oviya.v1.emotion_pb2 import ProsodyPlan
from services.gateway.voice import espeak
from services.gateway.voice.espeak import Delivery, Samples16
from services.gateway.voice.segment import NEUTRAL_PLAN, VOICE_RATE_HZ

ACTIVE_LEVEL_DBOV = -26.0
"""Active speech level at energy 1, for `loudness.Loudness`; the voices below were measured at -28 to -24."""
MAX_TEXT_CHARS = 8192
MAX_SPEAKER = 65_535

# Clear voices that differ in pitch and timbre.  Speaker ids beyond them repeat.
_VARIANTS = ("", "+f2", "+m3", "+f4", "+m7", "+f1", "+m1", "+f5")
_RATE_EXPONENT = 0.9  # espeak-ng changes its rate by more than the parameter says
_HEADROOM = 0.5  # the largest energy scale, 2, then just reaches full scale
_SYNTHESIS_CHARS = 600  # synthesized at once, about 40 s: bounds what is queued for a slow or cancelled reader
_WORD_CHARS = 80  # longer words exist in no language


class FallbackVoice:
    """espeak-ng on a thread of its own.  The same text, plan and speaker always give the same samples."""

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="espeak")

    async def warm_up(self) -> None:
        """Synthesizes one word and discards it.

        Raises:
            OviyaError: espeak-ng is missing or does not work.
        """
        async for _ in self.speak("Ready."):
            pass

    async def speak(
        self, text: str, plan: ProsodyPlan = NEUTRAL_PLAN, speaker: int = 0, language: str = "en"
    ) -> AsyncGenerator[Pcm]:
        """Speaks `text` literally: nothing in it is markup.

        Args:
            text: 1 to 8192 characters.
            plan: its scales of pitch, rate and energy are followed.
            speaker: 0 to 65535; there are 8 voices, which repeat.
            language: language of espeak-ng in which to read the text, e.g. "cmn".

        Yields:
            Chunks of about 60 ms at `VOICE_RATE_HZ`, shape (samples,), full scale 1.0, as they are synthesized.  The
            last ones are the pause after a sentence (0.3 s at the normal rate).

        Raises:
            InvalidInput: a text that is empty or too long, a scale or a speaker out of range.
        """
        delivery, amplitude = _delivery(plan, speaker, language), _HEADROOM * plan.energy_scale
        resampler = Resampler(espeak.SAMPLE_RATE_HZ, VOICE_RATE_HZ)
        for sentence in _sentences(_literal(text)):
            async for samples in self._synthesize(sentence, delivery):
                resampled = resampler.push(samples.astype(np.float32) * np.float32(amplitude / S16_FULL_SCALE))
                if len(resampled):
                    yield resampled
        if len(rest := resampler.flush()):
            yield rest

    async def close(self) -> None:
        """Ends the thread.  All calls of `speak` must have ended."""
        await asyncio.to_thread(self._worker.shutdown)

    async def _synthesize(self, text: str, delivery: Delivery) -> AsyncGenerator[Samples16]:
        loop = asyncio.get_running_loop()
        synthesized: asyncio.Queue[Samples16 | None] = asyncio.Queue()
        cancelled = threading.Event()

        def emit(samples: Samples16) -> bool:
            if not cancelled.is_set():
                loop.call_soon_threadsafe(synthesized.put_nowait, samples)
            return not cancelled.is_set()

        synthesis = loop.run_in_executor(self._worker, espeak.synthesize, text, delivery, emit)
        synthesis.add_done_callback(lambda _: synthesized.put_nowait(None))
        try:
            while (samples := await synthesized.get()) is not None:
                yield samples
            await synthesis  # raises its failure
        finally:
            cancelled.set()
            synthesis.cancel()  # has an effect only before the synthesis starts; a running one stops within a few ms
            await asyncio.wait({synthesis})


def _delivery(plan: ProsodyPlan, speaker: int, language: str) -> Delivery:
    """Maps scales to espeak-ng's parameters.

    The mean F0 depends on the parameters pitch p and range r: 22 + 68 * 2^((p - 50) / 50) + 13 + 0.36 (r - 50) Hz
    (measured on "en-us" of espeak-ng 1.52).  Its excursion in Hz depends on r alone.  The range is set so that the
    excursion stays the same in semitones, the pitch so that the mean is scaled.  The parameters reach their limits at
    scales of 0.57 and 1.77.
    """
    for name, value, low in (
        ("pitch_scale", plan.pitch_scale, 0.5),
        ("rate_scale", plan.rate_scale, 0.5),
        ("energy_scale", plan.energy_scale, 0.25),
    ):
        if not low <= value <= 2:
            raise InvalidInput(f"plan.{name}", value, f"must be {low} to 2")
    if not 0 <= speaker <= MAX_SPEAKER:
        raise InvalidInput("speaker", speaker, f"must be 0 to {MAX_SPEAKER}")
    scale = plan.pitch_scale
    return Delivery(
        voice=("en-us" if language == "en" else language) + _VARIANTS[speaker % len(_VARIANTS)],
        rate_wpm=round(espeak.NORMAL_RATE_WPM * plan.rate_scale**_RATE_EXPONENT),
        pitch=_clamp(50 + 50 * math.log2(1.181 * scale - 0.181)),
        pitch_range=_clamp(50 + 63 * (scale - 1)),
    )


def _clamp(value: float) -> int:
    return min(max(round(value), 0), 99)


def _literal(text: str) -> str:
    """Removes what espeak-ng would interpret or cannot handle: control and private-use characters, endless words.

    Raises:
        InvalidInput: the text is too long, or nothing is left of it.
    """
    if len(text) > MAX_TEXT_CHARS:
        raise InvalidInput("text", f"{len(text)} characters", f"must be 1 to {MAX_TEXT_CHARS} characters")
    printable = "".join(" " if unicodedata.category(c) in ("Cc", "Cn", "Co", "Cs") else c for c in text)
    words = " ".join(printable.split())
    if not words:
        raise InvalidInput("text", text, f"must be 1 to {MAX_TEXT_CHARS} characters that can be spoken")
    return re.sub(rf"(\S{{{_WORD_CHARS}}})(?=\S)", r"\1 ", words)


def _sentences(text: str) -> list[str]:
    """Cuts a text that is too long for one synthesis."""
    if len(text) <= _SYNTHESIS_CHARS:
        return [text]
    segmenter = Segmenter(max_chars=_SYNTHESIS_CHARS, first_clause_chars=0)
    return [piece.text for piece in (*segmenter.push(text), *segmenter.flush())]
