"""The asynchronous client of the gateway's ConversationService."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Unpack

import grpc

from oviya.audio.pcm import S16LE
from oviya.client import wire
from oviya.client.channel import STALL_TIMEOUT_S, AsyncClient, read_events
from oviya.client.conversation import Conversation
from oviya.client.events import SpeakEvent
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
from oviya.status import error_from_rpc
from oviya.v1 import common_pb2, conversation_pb2, conversation_pb2_grpc


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
        stop_phrases: Sequence[str] = (),
        echo_cancellation: str = "gateway",
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
            stop_phrases: phrases that stop a reply at once, besides those of the gateway ("stop", "wait"): at most 20
                of at most 64 characters.
            echo_cancellation: who removes the reply's own sound from the audio that is sent: ``gateway``, or
                ``caller`` if the audio holds no echo, e.g. from a headset.

        Raises:
            InvalidInput: unknown `voice` or `echo_cancellation`.
        """
        config = conversation_pb2.ConverseConfig(
            input=common_pb2.AudioFormat(encoding=S16LE, sample_rate_hz=input_rate_hz),
            output=common_pb2.AudioFormat(encoding=S16LE, sample_rate_hz=output_rate_hz),
            session_id=session_id,
            resume_token=resume_token,
            speaker=speaker,
            voice=wire.voice_number(voice),
            lead=None if lead_s is None else duration(lead_s),
            stop_phrases=stop_phrases,
            echo_cancellation=wire.echo_cancellation_number(echo_cancellation),
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
