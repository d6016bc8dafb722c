"""Services that follow a script: slow, or failing, in a controlled way.  They speak real gRPC from real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
from google.protobuf.duration_pb2 import Duration

from oviya.audio.pcm import F32LE, S16LE, audio_message, decode_pcm
from oviya.durations import duration
from oviya.errors import OviyaError
from oviya.mesh.service import Service
from oviya.mesh.settings import ServiceSettings
from oviya.rvq import FRAME_S
from oviya.v1 import (
    brain_pb2,
    brain_pb2_grpc,
    common_pb2,
    csm_pb2,
    csm_pb2_grpc,
    mimi_pb2,
    mimi_pb2_grpc,
    stt_pb2,
    stt_pb2_grpc,
)
from tests.support.speech import plain_words

RATE_HZ = 16_000
FRAME_SAMPLES = 1920
VOICE_RATE_HZ = 24_000
TONE_HZ = 440.0
"""What the scripted decoder makes of every frame: easily told from the fallback voice."""


class _Scripted(Service[ServiceSettings]):
    def __init__(self) -> None:
        super().__init__(ServiceSettings())

    async def start(self) -> None:
        pass


class ScriptedStt(_Scripted, stt_pb2_grpc.SttServiceServicer):
    """Takes samples that are not zero for speech, and 0.2 s of zeros for the end of a turn.

    Args:
        texts: what each turn is said to have been; the last one goes on for ever.
    """

    name = "stt"
    grpc_services = ("oviya.v1.SttService",)
    END_SILENCE_S = 0.2

    def __init__(self, *texts: str) -> None:
        super().__init__()
        self.texts = texts or ("Hello there.",)
        self.turns = 0
        self.opened = 0
        self.break_after: int | None = None  # audio messages after which a stream breaks off
        self.ignores_speech = False  # reports the start of speech and nothing after it
        self.language = "en"  # that it says was spoken
        self.eager = False  # reports silence and an eager end of turn with the first silent message
        self.eager_language = "en"
        self.aligner = ""

    def register(self, server: Any) -> None:
        stt_pb2_grpc.add_SttServiceServicer_to_server(self, server)

    async def GetModel(self, request: Any, context: Any) -> stt_pb2.SttServiceGetModelResponse:
        model = common_pb2.ModelInfo(backend="scripted", trained=True)
        return stt_pb2.SttServiceGetModelResponse(model=model, aligner=self.aligner)

    async def Transcribe(self, request_iterator: Any, context: Any) -> AsyncIterator[stt_pb2.TranscribeResponse]:
        self.opened += 1
        turn, position, speech_end, messages, stopped = 0, 0, None, 0, False
        encoding, rate = S16LE, RATE_HZ

        def at(samples: int) -> Duration:
            return duration(samples / rate)

        def end(reason: Any) -> list[stt_pb2.TranscribeResponse]:
            text = self.texts[min(self.turns, len(self.texts) - 1)]
            self.turns += 1
            ended = stt_pb2.TurnEnded(reason=reason, speech_end=at(speech_end or 0))
            words = [
                stt_pb2.Word(text=word, start=at(0), end=at(speech_end or 0), confidence=0.9)
                for word in plain_words(text)
            ]
            final = stt_pb2.Transcript(text=text, words=words, language=self.language)
            return [
                stt_pb2.TranscribeResponse(at=at(position), turn=turn, final=final),
                stt_pb2.TranscribeResponse(at=at(position), turn=turn, turn_ended=ended),
            ]

        async for request in request_iterator:
            events: list[stt_pb2.TranscribeResponse] = []
            match request.WhichOneof("request"):
                case "config":
                    encoding, rate = request.config.format.encoding, request.config.format.sample_rate_hz
                case "audio":
                    messages += 1
                    samples = decode_pcm(request.audio, encoding)
                    loud = np.flatnonzero(samples)
                    if len(loud):
                        if stopped:
                            stopped = False
                            yield stt_pb2.TranscribeResponse(at=at(position), turn=turn, resumed=stt_pb2.Resumed())
                        if speech_end is None:
                            start = stt_pb2.SpeechStarted(start=at(position + int(loud[0])))
                            yield stt_pb2.TranscribeResponse(at=at(position), turn=turn, speech_started=start)
                        words = plain_words(self.texts[min(self.turns, len(self.texts) - 1)])
                        partial = stt_pb2.Transcript(text=" ".join(words[:1]))
                        yield stt_pb2.TranscribeResponse(at=at(position), turn=turn, partial=partial)
                        speech_end = position + int(loud[-1]) + 1
                    elif self.eager and speech_end is not None and not stopped:
                        stopped = True
                        silent_from = stt_pb2.SpeechStopped(end=at(speech_end))
                        yield stt_pb2.TranscribeResponse(at=at(position), turn=turn, speech_stopped=silent_from)
                        text = self.texts[min(self.turns, len(self.texts) - 1)]
                        likely = stt_pb2.Transcript(text=text, language=self.eager_language)
                        yield stt_pb2.TranscribeResponse(at=at(position), turn=turn, likely_end=likely)
                    position += len(samples)
                    if self.break_after is not None and messages >= self.break_after:
                        self.break_after = None
                        raise OviyaError("the script breaks the stream")
                    silent = speech_end is not None and position - speech_end >= self.END_SILENCE_S * rate
                    if silent and not self.ignores_speech:
                        events = end(stt_pb2.TURN_END_REASON_SILENCE)
                case "end_turn" if speech_end is not None and not self.ignores_speech:
                    events = end(stt_pb2.TURN_END_REASON_REQUESTED)
            for event in events:
                yield event
            if events:
                turn, speech_end, stopped = turn + 1, None, False
        if speech_end is not None and not self.ignores_speech:
            for event in end(stt_pb2.TURN_END_REASON_STREAM_END):
                yield event


class ScriptedBrain(_Scripted, brain_pb2_grpc.BrainServiceServicer):
    """Answers with given sentences.

    Args:
        sentences: each with its emotion.
    """

    name = "brain"
    grpc_services = ("oviya.v1.BrainService",)

    def __init__(self, *sentences: tuple[str, str]) -> None:
        super().__init__()
        self.sentences = sentences or (("I hear you.", "calm_supportive"),)
        self.requests: list[brain_pb2.ReplyRequest] = []
        self.summaries: list[brain_pb2.SummarizeRequest] = []
        self.language = ""  # that it says it answers in
        self.degraded = ""  # what is wrong with it, by GetModel and each reply's first sentence
        self.fail: OviyaError | None = None
        self.before: Callable[[int], Any] = lambda index: None  # awaited before each sentence, and after the last
        self.cancelled = asyncio.Event()

    def register(self, server: Any) -> None:
        brain_pb2_grpc.add_BrainServiceServicer_to_server(self, server)

    async def Reply(self, request: brain_pb2.ReplyRequest, context: Any) -> AsyncIterator[brain_pb2.ReplyResponse]:
        self.requests.append(request)
        try:
            for index, (text, emotion) in enumerate(self.sentences):
                await _maybe(self.before(index))
                degraded = "" if index else self.degraded
                yield brain_pb2.ReplyResponse(
                    index=index,
                    text=text,
                    emotion=emotion,
                    backend="scripted",
                    degraded=degraded,
                    language=self.language,
                )
            await _maybe(self.before(len(self.sentences)))
            if self.fail is not None:
                raise self.fail
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def Summarize(self, request: brain_pb2.SummarizeRequest, context: Any) -> brain_pb2.SummarizeResponse:
        self.summaries.append(request)
        if self.fail is not None:
            raise self.fail
        words = [turn.text.split()[0] for turn in request.turns]
        return brain_pb2.SummarizeResponse(summary=" ".join([request.summary, *words]).strip(), backend="scripted")

    async def GetModel(self, request: Any, context: Any) -> brain_pb2.BrainServiceGetModelResponse:
        model = common_pb2.ModelInfo(backend="scripted", trained=True)
        return brain_pb2.BrainServiceGetModelResponse(model=model, degraded=self.degraded)


class ScriptedCsm(_Scripted, csm_pb2_grpc.CsmServiceServicer):
    """Generates `frames` frames for every text."""

    name = "csm"
    grpc_services = ("oviya.v1.CsmService",)

    def __init__(self, *, trained: bool = True, frames: int = 10) -> None:
        super().__init__()
        self.trained = trained
        self.frames = frames
        self.requests: list[csm_pb2.GenerateRequest] = []
        self.scripts: list[str] = []  # that its card says it speaks; empty: any
        self.languages: list[str] = []
        self.fail: OviyaError | None = None
        self.fail_after = 0  # frames that come before `fail`
        self.before: Callable[[int], Any] = lambda frame: None  # awaited before each frame

    def register(self, server: Any) -> None:
        csm_pb2_grpc.add_CsmServiceServicer_to_server(self, server)

    async def GetModel(self, request: Any, context: Any) -> csm_pb2.CsmServiceGetModelResponse:
        model = common_pb2.ModelInfo(name="scripted-csm", backend="scripted", trained=self.trained)
        return csm_pb2.CsmServiceGetModelResponse(
            model=model,
            codebooks=8,
            codebook_size=2048,
            styles=["calm"],
            scripts=self.scripts,
            languages=self.languages,
        )

    async def Generate(self, request: csm_pb2.GenerateRequest, context: Any) -> AsyncIterator[csm_pb2.GenerateResponse]:
        self.requests.append(request)
        for frame in range(self.frames):
            await _maybe(self.before(frame))
            if self.fail is not None and frame >= self.fail_after:
                raise self.fail
            codes = common_pb2.RvqFrames(codebooks=8, codes=[frame] * 8)
            yield csm_pb2.GenerateResponse(frames=codes)
        yield csm_pb2.GenerateResponse(end=csm_pb2.GenerateEnd(frames=self.frames))


class ScriptedMimi(_Scripted, mimi_pb2_grpc.MimiServiceServicer):
    """Decodes every frame to 80 ms of a tone, and encodes every 80 ms to a frame."""

    name = "mimi"
    grpc_services = ("oviya.v1.MimiService",)

    def __init__(self, *, trained: bool = True) -> None:
        super().__init__()
        self.trained = trained
        self.fail: OviyaError | None = None
        self.encodes: list[list[float]] = []  # seconds of sound in each message of each Encode call
        self.open_encodes = 0
        self.refuse_encode: OviyaError | None = None
        self.before_encode: Callable[[], Any] = lambda: None  # awaited before the sound of each message is encoded

    def register(self, server: Any) -> None:
        mimi_pb2_grpc.add_MimiServiceServicer_to_server(self, server)

    async def GetModel(self, request: Any, context: Any) -> mimi_pb2.MimiServiceGetModelResponse:
        model = common_pb2.ModelInfo(name="scripted-mimi", backend="scripted", trained=self.trained)
        return mimi_pb2.MimiServiceGetModelResponse(model=model, codebooks=8, codebook_size=2048)

    async def Encode(self, request_iterator: Any, context: Any) -> AsyncIterator[mimi_pb2.EncodeResponse]:
        """Sends a frame for every 80 ms of sound and for the rest at the end; the codes of a frame are its number."""
        self.encodes.append([])
        self.open_encodes += 1
        sent, samples, codebooks, rate, encoding = 0, 0, 0, RATE_HZ, S16LE
        try:
            async for request in request_iterator:
                if request.WhichOneof("request") == "config":
                    config = request.config
                    codebooks, rate, encoding = config.codebooks, config.format.sample_rate_hz, config.format.encoding
                    continue
                self.encodes[-1].append(len(decode_pcm(request.audio, encoding)) / rate)
                await _maybe(self.before_encode())
                if self.refuse_encode is not None:
                    raise self.refuse_encode
                samples += len(decode_pcm(request.audio, encoding))
                while (sent + 1) * FRAME_S * rate <= samples:
                    codes = common_pb2.RvqFrames(codebooks=codebooks, codes=[sent] * codebooks)
                    yield mimi_pb2.EncodeResponse(frames=codes)
                    sent += 1
            if sent * FRAME_S * rate < samples:
                codes = common_pb2.RvqFrames(codebooks=codebooks, codes=[sent] * codebooks)
                yield mimi_pb2.EncodeResponse(frames=codes)
        finally:
            self.open_encodes -= 1

    async def Decode(self, request_iterator: Any, context: Any) -> AsyncIterator[mimi_pb2.DecodeResponse]:
        done = 0
        async for request in request_iterator:
            if self.fail is not None:
                raise self.fail
            count = len(request.frames.codes) // request.frames.codebooks * FRAME_SAMPLES
            times = np.arange(done, done + count) / VOICE_RATE_HZ
            tone = (0.1 * np.sin(2 * np.pi * TONE_HZ * times)).astype(np.float32)
            done += count
            audio_format = common_pb2.AudioFormat(encoding=F32LE, sample_rate_hz=VOICE_RATE_HZ)
            yield mimi_pb2.DecodeResponse(audio=audio_message(tone, audio_format))


async def _maybe(step: Any) -> None:
    if step is not None:
        await step
