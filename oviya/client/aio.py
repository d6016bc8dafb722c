"""The asynchronous client of the gateway's ConversationService."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import grpc
import grpc.aio
import numpy as np

from oviya.audio.pcm import S16LE, Pcm, encode_pcm
from oviya.client import wire
from oviya.client.channel import STALL_TIMEOUT_S, channel_options, read_events
from oviya.client.events import AudioChunk, ConverseEvent, Sentence, SpeakEvent
from oviya.client.sessions import KeptSession, from_export
from oviya.durations import duration
from oviya.errors import NotReady
from oviya.status import error_from_rpc, failure_of
from oviya.v1 import common_pb2, conversation_pb2, conversation_pb2_grpc, stt_pb2
from oviya.writing import half_close, write

GATEWAY = "gateway"
GATEWAY_ADDRESS = "localhost:50050"
OUTPUT_RATE_HZ = 24_000
"""The voice's own rate: asking for another costs a resampling."""

MAX_MESSAGE_SAMPLES = 1 << 19
"""16-bit samples in the 1 MiB that one message may hold (protos/oviya/v1/conversation.proto)."""


@dataclass(frozen=True, slots=True)
class Speech:
    """A whole spoken text: samples, shape (samples,), and the sentences in it."""

    samples: Pcm = field(repr=False)
    sample_rate_hz: int
    sentences: tuple[Sentence, ...]


class Oviya:
    """A gateway, reached over gRPC.  Use it as an async context manager, or call `close`.

    Args:
        address: host:port of the gateway.
        stall_timeout_s: longest wait for the next message while the gateway owes one.
        use_proxy: whether to go through the proxy of the environment (http_proxy, https_proxy, grpc_proxy); None: only
            where the host is not on this machine or in a private network.
    """

    def __init__(
        self, address: str = GATEWAY_ADDRESS, *, stall_timeout_s: float = STALL_TIMEOUT_S, use_proxy: bool | None = None
    ) -> None:
        self.address = address
        self._stall_timeout_s = stall_timeout_s
        self._channel = grpc.aio.insecure_channel(address, options=channel_options(address, use_proxy))
        self._stub = conversation_pb2_grpc.ConversationServiceStub(self._channel)

    async def speak(
        self,
        text: str,
        *,
        emotion: str = "",
        speaker: int = 0,
        voice: str = "auto",
        seed: int | None = None,
        sample_rate_hz: int = OUTPUT_RATE_HZ,
        lead_s: float | None = 0.0,
    ) -> AsyncGenerator[SpeakEvent, None]:
        """Speaks `text`: yields each sentence, then its audio, and at the end `ReplyEnded`.

        Args:
            text: what to say, 1 to 8192 characters.
            emotion: one of the 49 emotions or an alias; empty is neutral.
            speaker: speaker id of the voice.
            voice: ``auto``, ``csm`` or ``fallback``.
            seed: makes CSM's sampling repeatable.
            sample_rate_hz: rate of the audio, 8000 to 48000.
            lead_s: how far ahead of real time audio may come; 0: as fast as possible, None: the gateway's setting.

        Raises:
            OviyaError: what the gateway refused or failed at.
        """
        request = speak_request(
            text,
            emotion=emotion,
            speaker=speaker,
            voice=voice,
            seed=seed,
            sample_rate_hz=sample_rate_hz,
            lead_s=lead_s,
        )
        async for event in read_events(self._stub.Speak(request), wire.from_speak, GATEWAY, self._stall_timeout_s):
            yield event

    async def say(
        self,
        text: str,
        *,
        emotion: str = "",
        speaker: int = 0,
        voice: str = "auto",
        seed: int | None = None,
        sample_rate_hz: int = OUTPUT_RATE_HZ,
    ) -> Speech:
        """Speaks `text` and returns the whole; arguments and errors as in `speak`."""
        events = self.speak(
            text, emotion=emotion, speaker=speaker, voice=voice, seed=seed, sample_rate_hz=sample_rate_hz
        )
        return collect_speech([event async for event in events], sample_rate_hz)

    def converse(
        self,
        *,
        input_rate_hz: int = 16_000,
        output_rate_hz: int = OUTPUT_RATE_HZ,
        session_id: str = "",
        resume_token: str = "",
        speaker: int = 0,
        voice: str = "auto",
        lead_s: float | None = None,
    ) -> Conversation:
        """Opens a conversation; use it as an async context manager.

        Args:
            input_rate_hz: rate of the audio that will be sent, 8000 to 48000.
            output_rate_hz: rate of the reply's audio, 8000 to 48000.
            session_id: name of the session; empty: the gateway makes one.  Where the gateway keeps sessions, the name
                of an earlier one, with its token, goes on where that ended.
            resume_token: the token that `SessionStarted` had when the session was opened for the first time.
            speaker: speaker id of the reply's voice.
            voice: ``auto``, ``csm`` or ``fallback``.
            lead_s: how far ahead of real time audio may come; 0: as fast as possible, None: the gateway's setting.

        Raises:
            InvalidInput: unknown voice.
        """
        config = conversation_pb2.ConverseConfig(
            input=common_pb2.AudioFormat(encoding=S16LE, sample_rate_hz=input_rate_hz),
            output=common_pb2.AudioFormat(encoding=S16LE, sample_rate_hz=output_rate_hz),
            session_id=session_id,
            resume_token=resume_token,
            speaker=speaker,
            voice=wire.voice_number(voice),
            lead=None if lead_s is None else duration(lead_s),
        )
        return Conversation(self._stub.Converse(), config)

    async def export_session(self, session_id: str, resume_token: str = "") -> KeptSession:
        """Returns all that the gateway keeps of a session.

        Args:
            session_id: its name.
            resume_token: the token that `SessionStarted` had.

        Raises:
            PermissionDenied: there is no such session, or it has another token.
            Unsupported: the gateway keeps no sessions.
            OviyaError: what else it refused or failed at.
        """
        request = conversation_pb2.ExportSessionRequest(session_id=session_id, resume_token=resume_token)
        pages: list[conversation_pb2.ExportSessionResponse] = []
        try:
            while not pages or request.page_token:
                pages.append(await self._stub.ExportSession(request, timeout=self._stall_timeout_s))
                request.page_token = pages[-1].next_page_token
        except grpc.RpcError as error:
            raise error_from_rpc(error, GATEWAY) from error
        return from_export(session_id, pages)

    async def delete_session(self, session_id: str, resume_token: str = "") -> int:
        """Has the gateway forget a session; returns how many turns were kept.  As `export_session`."""
        request = conversation_pb2.DeleteSessionRequest(session_id=session_id, resume_token=resume_token)
        try:
            return (await self._stub.DeleteSession(request, timeout=self._stall_timeout_s)).turns
        except grpc.RpcError as error:
            raise error_from_rpc(error, GATEWAY) from error

    async def close(self) -> None:
        """Ends all running calls and the connection."""
        await self._channel.close(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Conversation:
    """One running conversation: send sound at the pace of speech (or text), and iterate over its events.

    Sending and iterating go on at the same time, in two tasks.  Iteration ends when the gateway has answered all
    that was sent before `finish`.
    """

    def __init__(
        self,
        call: grpc.aio.StreamStreamCall[conversation_pb2.ConverseRequest, conversation_pb2.ConverseResponse],
        config: conversation_pb2.ConverseConfig,
    ) -> None:
        self._call = call
        self._config = config
        self._events = read_events(call, wire.from_converse, GATEWAY, None)

    async def send_audio(self, samples: Pcm) -> None:
        """Sends mono samples, shape (samples,), full scale 1.0, at the configured rate."""
        for start in range(0, len(samples), MAX_MESSAGE_SAMPLES):
            piece = np.asarray(samples[start : start + MAX_MESSAGE_SAMPLES], np.float32)
            await self._write(conversation_pb2.ConverseRequest(audio=encode_pcm(piece, S16LE)))

    async def send_text(self, text: str) -> None:
        """Sends a typed turn; it is answered as if it had been spoken."""
        await self._write(conversation_pb2.ConverseRequest(text=text))

    async def end_turn(self) -> None:
        """Ends the user's turn now, without waiting for silence."""
        await self._write(conversation_pb2.ConverseRequest(end_turn=stt_pb2.EndTurn()))

    async def finish(self) -> None:
        """Says that nothing more will be sent; the running turn is still answered."""
        await half_close(self._call)

    def __aiter__(self) -> AsyncIterator[ConverseEvent]:
        return self._events

    async def __aenter__(self) -> Self:
        await self._write(conversation_pb2.ConverseRequest(config=self._config))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call.cancel()
        await self._events.aclose()

    async def _write(self, request: conversation_pb2.ConverseRequest) -> None:
        """Sends a request; a conversation that the gateway has ended raises its reason."""
        if await write(self._call, request):
            return
        if await self._call.code() is not grpc.StatusCode.OK:
            raise error_from_rpc(await failure_of(self._call), GATEWAY)
        raise NotReady("the conversation is over", hint="open a new one to go on")


def speak_request(
    text: str, *, emotion: str, speaker: int, voice: str, seed: int | None, sample_rate_hz: int, lead_s: float | None
) -> conversation_pb2.SpeakRequest:
    """Packs the arguments of `Oviya.speak`.

    Raises:
        InvalidInput: unknown voice.
    """
    return conversation_pb2.SpeakRequest(
        text=text,
        emotion=emotion,
        speaker=speaker,
        voice=wire.voice_number(voice),
        output=common_pb2.AudioFormat(encoding=S16LE, sample_rate_hz=sample_rate_hz),
        lead=None if lead_s is None else duration(lead_s),
        seed=seed,
    )


def collect_speech(events: list[SpeakEvent], sample_rate_hz: int) -> Speech:
    """Joins the audio of `events`."""
    chunks = [event.samples for event in events if isinstance(event, AudioChunk)]
    samples = np.concatenate(chunks) if chunks else np.zeros(0, np.float32)
    return Speech(samples, sample_rate_hz, tuple(event for event in events if isinstance(event, Sentence)))
