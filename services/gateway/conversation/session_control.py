"""Requests that steer a session: interrupt, playback reports, the voice and the emotion of the replies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import structlog

from oviya.durations import seconds
from oviya.errors import Busy, InvalidInput, OviyaError
from oviya.status import detail_of
from oviya.tasks import cancel_and_wait
from oviya.v1 import common_pb2, conversation_pb2
from services.gateway import metrics
from services.gateway.own_voice.own_voices import OwnVoices
from services.gateway.turn.running_reply import RunningReply
from services.gateway.turn.turn_taking import TurnTaking
from services.gateway.upstream.clients import Mesh
from services.gateway.voice.speech_output import SpeechOutput

log = structlog.get_logger()

SendEvent = Callable[[conversation_pb2.VoiceSet | common_pb2.ErrorDetail], Awaitable[None]]


@dataclass
class SessionControl:
    """Follows these requests of one session.  One that cannot be followed fails by itself.

    Args:
        send: takes the answers: `voice_set` and `request_failed`.
        client: the client that clips count for; None: they count only towards the total.
    """

    mesh: Mesh
    voices: OwnVoices
    output: SpeechOutput
    reply: RunningReply
    turns: TurnTaking
    send: SendEvent
    client: str | None
    _setting_voice: asyncio.Task[None] | None = field(default=None, init=False)

    async def follow(self, request: conversation_pb2.ConverseRequest) -> None:
        """Follows a request; reports a failure with `request_failed`."""
        kind = request.WhichOneof("request")
        try:
            match kind:
                case "interrupt":
                    await self.turns.interrupt()
                case "played":
                    self.reply.report_played(request.played.turn, seconds(request.played.position))
                case "set_emotion":
                    await self._set_emotion(request.set_emotion.emotion)
                case "set_voice":
                    self._begin_voice(request.set_voice)
                case _:
                    raise InvalidInput("request", kind or "", "must be one that steers the session")
        except OviyaError as error:
            await self._fail(kind or "", error)

    async def close(self) -> None:
        """Ends what still runs."""
        await cancel_and_wait(self._setting_voice)

    async def _fail(self, kind: str, error: OviyaError) -> None:
        metrics.REFUSED_REQUESTS.labels(kind).inc()
        await self.send(detail_of(error))

    async def _set_emotion(self, emotion: str) -> None:
        if emotion:
            await self.mesh.map_emotion(emotion)  # raises for one that does not exist
        self.output.options = replace(self.output.options, emotion=emotion)

    def _begin_voice(self, request: conversation_pb2.SetVoice) -> None:
        """Sets the voice in a task of its own: a clip takes some time, and the conversation goes on."""
        if self._setting_voice is not None and not self._setting_voice.done():
            raise Busy("the voice is being changed already", retry_after_s=2.0)
        self._setting_voice = asyncio.create_task(self._set_voice(request))

    async def _set_voice(self, request: conversation_pb2.SetVoice) -> None:
        try:
            chosen = await self.voices.resolve(request, client=self.client)
        except OviyaError as error:
            await self._fail("set_voice", error)
        except Exception:
            log.exception("the voice could not be set")
            await self._fail("set_voice", OviyaError("internal error", hint="the gateway's log has the details"))
        else:
            self.output.options = replace(self.output.options, speaker=chosen.speaker, reference=chosen.reference)
            self.output.context.change_voice()
            await self.send(chosen.answer)
