"""The asynchronous client of the gateway's ConversationService."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from types import TracebackType
from typing import Self, Unpack

import grpc
import grpc.aio
import numpy as np

from oviya.audio.pcm import S16LE, Pcm, encode_pcm
from oviya.client import wire
from oviya.client.channel import STALL_TIMEOUT_S, AsyncClient, read_events
from oviya.client.events import ConverseEvent, SpeakEvent
from oviya.client.sessions import KeptSession, from_export
from oviya.client.speaking import (
    GATEWAY,
    GATEWAY_ADDRESS,
    OUTPUT_RATE_HZ,
    SayOptions,
    SpeakOptions,
    Speech,
    collect_speech,
    speak_request,
)
from oviya.durations import duration
from oviya.errors import NotReady
from oviya.status import error_from_rpc, failure_of
from oviya.v1 import common_pb2, conversation_pb2, conversation_pb2_grpc, stt_pb2
from oviya.writing import half_close, write

MAX_MESSAGE_SAMPLES = 1 << 19
"""16-bit samples in the 1 MiB that one message may hold (protos/oviya/v1/conversation.proto)."""


class Oviya(AsyncClient):
    """The gateway, reached over gRPC.  Use it as an async context manager, or call `close`.

    Args:
        address: host:port of the gateway.
        stall_timeout_s: longest wait for the next message while the gateway owes one.
        use_proxy: as for `AsyncClient`.
    """

    def __init__(
        self, address: str = GATEWAY_ADDRESS, *, stall_timeout_s: float = STALL_TIMEOUT_S, use_proxy: bool | None = None
    ) -> None:
        super().__init__(address, stall_timeout_s=stall_timeout_s, use_proxy=use_proxy)
        self._stub = conversation_pb2_grpc.ConversationServiceStub(self._channel)

    async def speak(self, text: str, **options: Unpack[SpeakOptions]) -> AsyncGenerator[SpeakEvent, None]:
        """Speaks `text`: yields each sentence, then its audio, and at the end `ReplyEnded`.

        Args:
            text: what to say, 1 to 8192 characters.
            options: see `SpeakOptions`.

        Raises:
            OviyaError: the gateway refused the call or failed.
        """
        call = self._stub.Speak(speak_request(text, **options))
        async for event in read_events(call, wire.from_speak, GATEWAY, self._stall_timeout_s):
            yield event

    async def say(self, text: str, **options: Unpack[SayOptions]) -> Speech:
        """Speaks `text` and returns all of it; arguments and errors as for `speak`."""
        return collect_speech([event async for event in self.speak(text, **options)], options)

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
            session_id: name of the session; empty: the gateway chooses one.  If the gateway keeps sessions, the name
                and the token of an earlier session continue that session.
            resume_token: the token in the first `SessionStarted` of that session.
            speaker: speaker id of the reply's voice.
            voice: ``auto``, ``csm`` or ``fallback``.
            lead_s: how far ahead of real time audio may arrive; 0: as fast as possible, None: the gateway's setting.

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
        """Returns everything that the gateway keeps of a session.

        Args:
            session_id: name of the session.
            resume_token: the token in its first `SessionStarted`.

        Raises:
            PermissionDenied: the session does not exist, or has another token.
            Unsupported: the gateway keeps no sessions.
            OviyaError: the gateway refused the call or failed.
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
        """Deletes a session and returns how many turns it held; arguments and errors as for `export_session`."""
        request = conversation_pb2.DeleteSessionRequest(session_id=session_id, resume_token=resume_token)
        try:
            return (await self._stub.DeleteSession(request, timeout=self._stall_timeout_s)).turns
        except grpc.RpcError as error:
            raise error_from_rpc(error, GATEWAY) from error


class Conversation:
    """A running conversation: send audio at the pace of speech, or text, and iterate over its events.

    Send and iterate concurrently, in two tasks.  Iteration ends when the gateway has answered everything that was sent
    before `finish`.
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
            chunk = np.asarray(samples[start : start + MAX_MESSAGE_SAMPLES], np.float32)
            await self._write(conversation_pb2.ConverseRequest(audio=encode_pcm(chunk, S16LE)))

    async def send_text(self, text: str) -> None:
        """Sends a typed turn; it is answered like a spoken one."""
        await self._write(conversation_pb2.ConverseRequest(text=text))

    async def end_turn(self) -> None:
        """Ends the user's turn without waiting for silence."""
        await self._write(conversation_pb2.ConverseRequest(end_turn=stt_pb2.EndTurn()))

    async def finish(self) -> None:
        """Half-closes the stream; the running turn is still answered."""
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
        """Sends a request.

        Raises:
            NotReady: the conversation is over.
            OviyaError: the gateway ended it with an error.
        """
        if await write(self._call, request):
            return
        if await self._call.code() is not grpc.StatusCode.OK:
            raise error_from_rpc(await failure_of(self._call), GATEWAY)
        raise NotReady("the conversation is over", hint="open a new one to go on")
