"""Conversations, whatever carries them: gRPC and WebRTC are thin adapters onto `Conversation`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import structlog

from oviya.durations import duration
from oviya.errors import InvalidInput
from oviya.mesh.redaction import log_id
from oviya.streams import wait_for
from oviya.text.sentences import split_into_sentences
from oviya.v1 import common_pb2, conversation_pb2
from services.gateway.conversation.event_queue import EventQueue, events_of
from services.gateway.conversation.lifetime import Sessions
from services.gateway.conversation.requests import SpeakOrder, nothing_to_say, read_config, read_order
from services.gateway.conversation.session import Session
from services.gateway.memory.session_repository import SessionRepository
from services.gateway.own_voice.own_voices import OwnVoices
from services.gateway.quota import Quota
from services.gateway.settings import GatewaySettings
from services.gateway.turn.latency import latency
from services.gateway.upstream.clients import Mesh
from services.gateway.upstream.readiness import Readiness
from services.gateway.voice.segment import AUTO, ReplyAudio, Sentence, SpeechEvent, SpeechOptions
from services.gateway.voice.speech_output import SpeechOutput

log = structlog.get_logger()

_FIELD_OF = {
    conversation_pb2.ReplySentence: "sentence",
    common_pb2.Audio: "audio",
    conversation_pb2.Degraded: "degraded",
}
"""The field of SpeakResponse that carries an event."""


@dataclass
class Conversation:
    """The gateway's two services to people: conversing and speaking.

    Args:
        new_output: creates the speech output for one caller.

    Attributes:
        sessions: the open sessions.
    """

    mesh: Mesh
    readiness: Readiness
    settings: GatewaySettings
    repository: SessionRepository
    voices: OwnVoices
    new_output: Callable[[SpeechOptions, common_pb2.AudioFormat], SpeechOutput]

    def __post_init__(self) -> None:
        self._speaks = Quota("Speak calls", self.settings.max_speaks, self.settings.max_sessions_per_client)
        self.sessions = Sessions(self.settings)

    def drain(self) -> None:
        """Refuses new sessions and ends the open ones after the turns that they have."""
        self.sessions.drain()
        self.readiness.draining = True

    # Sessions and texts are counted by the jobs, not by the generators that callers read: a caller who stops reading
    # keeps a generator for as long as the connection lasts, but its job ends when it has waited long enough.

    async def converse(
        self, requests: AsyncIterable[conversation_pb2.ConverseRequest], *, client: str | None = None
    ) -> AsyncGenerator[conversation_pb2.ConverseResponse, None]:
        """Holds one session.

        Args:
            requests: the configuration, then sound, text and ends of turns; its end ends the session after its turns.
            client: the client that the session counts for; None: it counts only towards the total.

        Yields:
            The session's events, as the contract orders them.

        Raises:
            Busy: there are as many sessions, in total or of this client, as the settings allow.
            InvalidInput: a request cannot be used.
            Timeout: a limit of the session was reached, or the caller reads nothing.
            NotReady: the gateway stops.
            PermissionDenied: the session's name is another caller's.
        """

        async def job(events: EventQueue[conversation_pb2.ConverseResponse]) -> None:
            with self.sessions.open(client) as lifetime:
                iterator = aiter(requests)
                config = read_config(await self._first(iterator), self.settings)
                log.info("session opened", session=log_id(config.session_id))
                output = self.new_output(config.options, config.output)
                session = Session(
                    mesh=self.mesh,
                    readiness=self.readiness,
                    settings=self.settings,
                    repository=self.repository,
                    voices=self.voices,
                    output=output,
                    config=config,
                    events=events,
                    lifetime=lifetime,
                    client=client,
                )
                await session.run(iterator)

        async with aclosing(events_of(job, self.settings.event_stall_s)) as events:
            async for event in events:
                yield event

    async def speak(
        self, request: conversation_pb2.SpeakRequest, *, client: str | None = None
    ) -> AsyncGenerator[conversation_pb2.SpeakResponse, None]:
        """Speaks a text.

        Args:
            request: the text and how to speak it.
            client: the client that the call counts for; None: it counts only towards the total.

        Yields:
            Sentences, their sound, degraded modes, and the end.

        Raises:
            Busy: as many texts are spoken, in total or for this client, as the settings allow.
            InvalidInput: a field cannot be used, or there is no such emotion.
            Unavailable, Timeout: the voice that was asked for cannot speak.
        """
        order = read_order(request, self.settings)

        async def job(events: EventQueue[conversation_pb2.SpeakResponse]) -> None:
            with self._speaks.hold(client):
                await self._speak(order, events)

        async with aclosing(events_of(job, self.settings.event_stall_s)) as events:
            async for event in events:
                yield event

    async def _speak(self, order: SpeakOrder, events: EventQueue[conversation_pb2.SpeakResponse]) -> None:
        since = asyncio.get_running_loop().time()

        async def send(event: SpeechEvent) -> None:
            message = event.audio if isinstance(event, ReplyAudio) else event
            carried: dict[str, Any] = {_FIELD_OF[type(message)]: message}
            await events.put(conversation_pb2.SpeakResponse(**carried))

        async def sentences() -> AsyncGenerator[Sentence, None]:
            texts, count = split_into_sentences(order.text, self.settings.max_sentence_chars), 0
            # In a thread: cutting a long text without words would block the event loop.
            while (said := await asyncio.to_thread(next, texts, None)) is not None:
                count += 1
                yield Sentence(said.text, said.spoken, order.emotion, strict=True)
            if not count:
                raise nothing_to_say("text", order.text)

        problem = self.readiness.voice_problem() if order.options.voice == AUTO else None
        if problem is not None:
            service, reason = problem
            await send(conversation_pb2.Degraded(service=service, message=f"{reason}; the fallback voice speaks"))
        speech = self.new_output(order.options, order.output).say(sentences(), send)
        await speech.wait()
        ended = conversation_pb2.ReplyEnded(duration=duration(speech.sent_s), latency=latency(speech, since=since))
        await events.put(conversation_pb2.SpeakResponse(ended=ended))

    async def _first(
        self, requests: AsyncIterator[conversation_pb2.ConverseRequest]
    ) -> conversation_pb2.ConverseConfig:
        """Waits for the first message and returns its configuration."""
        wait_s = self.settings.session_start_s
        request = await wait_for(anext(requests, None), wait_s, f"the configuration did not come within {wait_s:g} s")
        kind = "an empty stream" if request is None else request.WhichOneof("request")
        if request is None or kind != "config":
            raise InvalidInput("config", kind or "", "the first message must be the configuration")
        return request.config
