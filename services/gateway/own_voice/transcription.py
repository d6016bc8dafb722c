"""What is said in a clip, and when, from speech-to-text."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from oviya.audio.pcm import S16LE, encode_pcm
from oviya.durations import seconds
from oviya.streams import with_stall_timeout
from oviya.v1 import common_pb2, stt_pb2
from oviya.writing import sending
from services.gateway.own_voice.clip import Clip
from services.gateway.upstream.clients import Mesh, typed_errors

CHUNK_S = 0.25
TOTAL_S, STALL_S = 60.0, 20.0
"""Longest time in seconds for a clip, and for the next event, on a machine that is busy with conversations."""


@dataclass(frozen=True)
class SpokenWord:
    """A word as it is written, with its punctuation, and its times in seconds."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class ClipTranscript:
    """What was heard.

    Attributes:
        words: in order.
        speech: stretches of speech as (start, end) in seconds, pauses of less than about half a second included.
    """

    words: tuple[SpokenWord, ...]
    speech: tuple[tuple[float, float], ...]

    @property
    def text(self) -> str:
        """The words, separated by blanks."""
        return " ".join(word.text for word in self.words)

    @property
    def speech_s(self) -> float:
        """Length of the speech in seconds."""
        return sum(end - start for start, end in self.speech)


async def transcribe(mesh: Mesh, clip: Clip) -> ClipTranscript:
    """Transcribes a clip, faster than real time where the service has room.

    Raises:
        Busy, Timeout, Unavailable: the service does not answer.
    """
    words: list[SpokenWord] = []
    speech: list[tuple[float, float]] = []
    start_s = 0.0
    call = mesh.stt.Transcribe(timeout=TOTAL_S)
    with typed_errors("stt"):
        async with sending(call, _requests(clip)):
            async for response in with_stall_timeout(call, STALL_S, "the words of a clip from stt"):
                match response.WhichOneof("event"):
                    case "speech_started":
                        start_s = seconds(response.speech_started.start)
                    case "final":
                        words += _words(response.final)
                    case "turn_ended":
                        speech.append((start_s, seconds(response.turn_ended.speech_end)))
    return ClipTranscript(tuple(words), tuple(speech))


async def _requests(clip: Clip) -> AsyncIterator[stt_pb2.TranscribeRequest]:
    audio_format = common_pb2.AudioFormat(encoding=S16LE, sample_rate_hz=clip.rate_hz)
    yield stt_pb2.TranscribeRequest(config=stt_pb2.TranscribeConfig(format=audio_format))
    size = round(CHUNK_S * clip.rate_hz)
    for start in range(0, len(clip.samples), size):
        yield stt_pb2.TranscribeRequest(audio=encode_pcm(clip.samples[start : start + size], S16LE))


def _words(final: stt_pb2.Transcript) -> list[SpokenWord]:
    """Returns the words with the punctuation of the text, where it has as many."""
    written = final.text.split()
    if len(written) != len(final.words):
        written = [word.text for word in final.words]
    return [
        SpokenWord(text, seconds(word.start), seconds(word.end))
        for text, word in zip(written, final.words, strict=True)
    ]
