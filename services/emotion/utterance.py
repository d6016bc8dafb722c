"""Reads the request stream of a Detect call."""

from __future__ import annotations

from collections.abc import AsyncIterable, Collection
from dataclasses import dataclass

import numpy as np

from oviya.audio.pcm import Pcm, check_format, decode_pcm
from oviya.audio.resample import Resampler
from oviya.errors import InvalidInput
from oviya.streams import with_stall_timeout
from oviya.text.language_tags import is_tag
from oviya.v1 import common_pb2, emotion_pb2
from services.emotion.affect import Affect
from services.emotion.engine import SpeakerState
from services.emotion.fusion import TOP, Mood
from services.emotion.settings import EmotionSettings
from services.emotion.voice.baseline import Baseline
from services.emotion.voice.voice_features import RATE_HZ


@dataclass(slots=True)
class Utterance:
    """What one Detect call has sent: its text and its sound at 16 kHz, shape (samples,); None if not sent.

    `language` is that of the text (BCP 47); empty: unknown.
    """

    text: str | None
    samples: Pcm | None
    speaker: SpeakerState
    language: str


async def read_utterance(
    requests: AsyncIterable[emotion_pb2.DetectRequest], settings: EmotionSettings, emotions: Collection[str]
) -> Utterance:
    """Reads a request stream to its end.

    Raises:
        InvalidInput: a message is out of order, too large or not usable.
        Timeout: the next message takes too long.
    """
    pieces: list[str] = []
    chars, first, sound, has_text = 0, True, None, False
    config = emotion_pb2.DetectConfig()
    async for request in with_stall_timeout(requests, settings.stall_s, "the caller's next message"):
        match request.WhichOneof("request"):
            case "text":
                has_text = True
                if request.text:
                    pieces.append(request.text)
                chars += len(request.text)
                limit = settings.max_text_chars
                if chars > limit:
                    raise InvalidInput("text", f"{chars} characters", f"at most {limit} characters in total")
            case "config" if first:
                config = request.config
                if config.language and not is_tag(config.language):
                    raise InvalidInput("config.language", config.language, 'a BCP 47 tag such as "de"')
                if config.HasField("format"):
                    sound = _SoundReader(check_format(config.format, "config.format"), settings.max_audio_s)
            case "audio":
                if sound is None:
                    raise InvalidInput("audio", f"{len(request.audio)} bytes", "only after a config with a format")
                sound.add(request.audio)
            case "config":
                raise InvalidInput("config", "not the first message", "only the first message is the configuration")
            case _:
                raise InvalidInput("request", "", "each message carries text, audio or the configuration")
        first = False
    samples = sound.read() if sound is not None else None
    if not has_text and samples is None:
        raise InvalidInput("request", "", "at least one message with text or audio before the stream ends")
    text = "".join(pieces) if has_text else None
    return Utterance(text, samples, _unpack_speaker(config.state, emotions), config.language)


def _unpack_speaker(state: emotion_pb2.SpeakerState, emotions: Collection[str]) -> SpeakerState:
    try:
        baseline = Baseline.restored(tuple(state.voice_means), state.voice_weight)
    except ValueError as error:
        hint = "send the state of the last response"
        raise InvalidInput("config.state", "voice_means and voice_weight", str(error), hint=hint) from error
    for number, score in enumerate(state.mood):
        field = f"config.state.mood[{number}]"
        if score.emotion not in emotions:
            raise InvalidInput(f"{field}.emotion", score.emotion, f"one of the {len(emotions)} emotions")
        if not 0 <= score.score <= 1:
            raise InvalidInput(f"{field}.score", score.score, "0 to 1")
    if len(state.mood) > TOP:
        raise InvalidInput("config.state.mood", f"{len(state.mood)} emotions", f"at most {TOP}")
    for field, value in (("valence", state.valence), ("arousal", state.arousal)):
        if not -1 <= value <= 1:
            raise InvalidInput(f"config.state.{field}", value, "-1 to 1")
    shares = {score.emotion: score.score for score in state.mood}
    return SpeakerState(baseline, Mood(shares, Affect(state.valence, state.arousal)))


class _SoundReader:
    """Resamples the audio messages of one call, at most `max_s` seconds, to 16 kHz."""

    def __init__(self, audio_format: common_pb2.AudioFormat, max_s: float) -> None:
        self._encoding, self._rate_hz = audio_format.encoding, audio_format.sample_rate_hz
        self._resampler = Resampler(self._rate_hz, RATE_HZ)
        self._max_s = max_s
        self._resampled: list[Pcm] = []
        self._pending: list[Pcm] = []  # messages that are joined before they are resampled
        self._pending_samples = self._samples = 0
        self._has_message = False

    def add(self, pcm: bytes) -> None:
        """Adds a message.

        Raises:
            InvalidInput: it is not usable, or the sound is too long.
        """
        samples = decode_pcm(pcm, self._encoding)
        self._has_message = True
        self._samples += len(samples)
        seconds = self._samples / self._rate_hz
        if seconds > self._max_s:
            raise InvalidInput("audio", f"{seconds:.1f} s", f"at most {self._max_s:g} s in total")
        if len(samples):
            self._pending.append(samples)
            self._pending_samples += len(samples)
        if self._pending_samples >= self._rate_hz // 10:
            self._resample()

    def read(self) -> Pcm | None:
        """Returns the whole sound, shape (samples,); None if there was no message."""
        if not self._has_message:
            return None
        self._resample()
        return np.concatenate([*self._resampled, self._resampler.flush()])

    def _resample(self) -> None:
        if self._pending:
            self._resampled.append(self._resampler.push(np.concatenate(self._pending)))
            self._pending, self._pending_samples = [], 0
