"""The brain service over gRPC."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from grpc import aio

from oviya.errors import Busy, InvalidInput, OviyaError
from oviya.mesh.deadline import Deadline
from oviya.mesh.service import Service
from oviya.streams import wait_for
from oviya.text.language_tags import is_tag
from oviya.text.speakable import speakable
from oviya.v1 import brain_pb2, brain_pb2_grpc, common_pb2, emotion_pb2
from services.brain.backend import Backend, Exchange, Interruption, Role, Tone, Turn
from services.brain.emotions import known_emotion
from services.brain.failover import Failover
from services.brain.listener import Listener, ScriptError
from services.brain.metrics import FIRST_SENTENCE_SECONDS, REPLIES, SENTENCES
from services.brain.settings import BrainSettings

ROLES: dict[int, Role] = {brain_pb2.ROLE_USER: "user", brain_pb2.ROLE_ASSISTANT: "assistant"}

NEUTRAL = "neutral"

RETRY_AFTER_S = 0.1
"""A reply of the listener takes about 10 ms, so a slot is soon free again."""
SUMMARY_RETRY_AFTER_S = 2.0
"""A summary by a language model takes a few seconds, and nobody waits for it."""
SUMMARY_GRACE_S = 5.0
"""Extra time for the listener to make the summary if the model fails."""


class BrainServicer(brain_pb2_grpc.BrainServiceServicer):
    """Serves `oviya.v1.BrainService`."""

    def __init__(self, backend: Backend, settings: BrainSettings) -> None:
        self._backend = backend
        self._settings = settings
        self._running = 0
        self._summaries = 0

    async def Reply(
        self, request: brain_pb2.ReplyRequest, context: aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[brain_pb2.ReplyResponse]:
        exchange = unpack(request, self._settings)
        if self._running >= self._settings.max_replies:
            raise Busy(f"all {self._settings.max_replies} slots are taken", retry_after_s=RETRY_AFTER_S)
        self._running += 1
        started = time.monotonic()
        try:
            with REPLIES.track_inprogress():
                index = 0
                async with aclosing(self._backend.reply(exchange)) as sentences:
                    async for sentence in sentences:
                        backend = sentence.backend or self._backend.name
                        if index == 0:
                            FIRST_SENTENCE_SECONDS.labels(backend).observe(time.monotonic() - started)
                        SENTENCES.labels(backend, sentence.emotion).inc()
                        yield brain_pb2.ReplyResponse(
                            index=index,
                            text=sentence.text,
                            emotion=sentence.emotion,
                            backend=backend,
                            degraded=sentence.degraded,
                            spoken=sentence.spoken or speakable(sentence.text, sentence.language),
                            language=sentence.language,
                        )
                        index += 1
        finally:
            self._running -= 1

    async def Summarize(
        self, request: brain_pb2.SummarizeRequest, context: aio.ServicerContext[Any, Any]
    ) -> brain_pb2.SummarizeResponse:
        _check_length("session_id", request.session_id, self._settings.max_session_id_chars)
        _check_length("summary", request.summary, self._settings.max_text_chars)
        turns = unpack_turns(request.turns, "turns", self._settings)
        if not turns:
            raise InvalidInput("turns", "none with words", f"1 to {self._settings.max_history_turns} turns")
        if self._summaries >= self._settings.max_summaries:
            raise Busy(
                f"{self._settings.max_summaries} summaries are being made already", retry_after_s=SUMMARY_RETRY_AFTER_S
            )
        limit_s = self._settings.summary_s + SUMMARY_GRACE_S
        self._summaries += 1
        try:
            summary = await wait_for(
                self._backend.summarize(request.summary, turns), limit_s, f"no summary was made within {limit_s:g} s"
            )
        finally:
            self._summaries -= 1
        return brain_pb2.SummarizeResponse(
            summary=summary.text, backend=summary.backend or self._backend.name, degraded=summary.degraded
        )

    async def GetModel(
        self, request: brain_pb2.BrainServiceGetModelRequest, context: aio.ServicerContext[Any, Any]
    ) -> brain_pb2.BrainServiceGetModelResponse:
        status = self._backend.status()
        model = common_pb2.ModelInfo(name=status.model, backend=self._backend.name, trained=True)
        return brain_pb2.BrainServiceGetModelResponse(model=model, degraded=status.degraded)


class BrainService(Service[BrainSettings]):
    """The brain service as a process."""

    name = "brain"
    grpc_services = ("oviya.v1.BrainService",)

    def __init__(self, settings: BrainSettings) -> None:
        super().__init__(settings)
        self._backend = make_backend(settings)

    def register(self, server: aio.Server) -> None:
        brain_pb2_grpc.add_BrainServiceServicer_to_server(BrainServicer(self._backend, self.settings), server)

    async def start(self) -> None:
        await self._backend.warm()

    async def close(self, deadline: Deadline) -> None:
        await self._backend.close()


def make_backend(settings: BrainSettings) -> Backend:
    """The backend that the settings name.

    Raises:
        OviyaError: the listener's data is not valid, or two tools have the same name.
    """
    try:
        listener = Listener()
    except ScriptError as error:
        raise OviyaError(f"the listener's data is not valid: {error}") from error
    if settings.backend == "listener":
        return listener
    from services.brain.ollama.backend import OllamaBackend  # not imported for the listener
    from services.brain.ollama.errors import ModelMissing, WrongServer

    return Failover(
        OllamaBackend(settings),
        listener,
        retry_s=settings.retry_s,
        max_retry_s=settings.max_retry_s,
        failures_in_a_row=settings.failures_in_a_row,
        fatal=(WrongServer,) if settings.ollama_pull else (ModelMissing, WrongServer),
    )


def unpack(request: brain_pb2.ReplyRequest, settings: BrainSettings) -> Exchange:
    """Unpacks a request.

    Raises:
        InvalidInput: a field is empty, too long or unknown.
    """
    if not request.text.strip():
        raise InvalidInput("text", request.text, f"1 to {settings.max_text_chars} characters")
    _check_length("text", request.text, settings.max_text_chars)
    _check_length("session_id", request.session_id, settings.max_session_id_chars)
    _check_length("summary", request.summary, settings.max_text_chars)
    if request.language and not is_tag(request.language):
        raise InvalidInput("language", request.language, 'a BCP 47 tag such as "de"')
    return Exchange(
        text=request.text,
        history=tuple(unpack_turns(request.history, "history", settings)),
        user_emotion=known_emotion(request.user_emotion, field="user_emotion"),
        session_id=request.session_id,
        tone=_tone(request.tone) if request.HasField("tone") else None,
        summary=request.summary,
        language=request.language,
        interruption=_interruption(request.interruption, settings) if request.HasField("interruption") else None,
    )


def _interruption(message: brain_pb2.Interruption, settings: BrainSettings) -> Interruption | None:
    """Unpacks an interruption; None if the reply had no words yet."""
    heard, unheard = message.heard_text.strip(), message.unheard_text.strip()
    _check_length("interruption.heard_text", message.heard_text, settings.max_text_chars)
    _check_length("interruption.unheard_text", message.unheard_text, settings.max_text_chars)
    return Interruption(heard, unheard) if heard or unheard else None


def _tone(tone: emotion_pb2.Tone) -> Tone:
    mirror, support, ask = (
        known_emotion(name, field=f"tone.{part}") or NEUTRAL
        for part, name in (("mirror", tone.mirror), ("support", tone.support), ("ask", tone.ask))
    )
    if not 0 <= tone.intensity <= 1:
        raise InvalidInput("tone.intensity", tone.intensity, "0 to 1")
    return Tone(mirror, support, ask, tone.intensity)


def unpack_turns(turns: Sequence[brain_pb2.Turn], field: str, settings: BrainSettings) -> list[Turn]:
    """Unpacks turns, without empty ones.

    Raises:
        InvalidInput: there are too many turns, or one is too long or has no role.
    """
    if len(turns) > settings.max_history_turns:
        raise InvalidInput(field, f"{len(turns)} turns", f"at most {settings.max_history_turns} turns")
    unpacked: list[Turn] = []
    for number, turn in enumerate(turns):
        if turn.role not in ROLES:
            raise InvalidInput(f"{field}[{number}].role", turn.role, "ROLE_USER or ROLE_ASSISTANT")
        _check_length(f"{field}[{number}].text", turn.text, settings.max_text_chars)
        if turn.text.strip():
            unpacked.append(Turn(ROLES[turn.role], turn.text))
    return unpacked


def _check_length(field: str, text: str, limit: int) -> None:
    # Error messages must not contain what people say.
    if len(text) > limit:
        raise InvalidInput(field, f"{len(text)} characters", f"at most {limit} characters")
