"""The brain service over gRPC: unpack, ask the backend, pack."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

from grpc import aio

from oviya.errors import Busy, InvalidInput, OviyaError
from oviya.mesh.service import Service
from oviya.v1 import brain_pb2, brain_pb2_grpc
from services.brain.backend import Backend, Exchange, Role, Turn
from services.brain.emotions import known_emotion
from services.brain.listener import Listener, ScriptError
from services.brain.metrics import FIRST_SENTENCE_SECONDS, REPLIES, SENTENCES
from services.brain.settings import BrainSettings

ROLES: dict[int, Role] = {brain_pb2.ROLE_USER: "user", brain_pb2.ROLE_ASSISTANT: "assistant"}

RETRY_AFTER_S = 0.1
"""A reply takes some 10 ms, so a slot is free again soon."""


class BrainServicer(brain_pb2_grpc.BrainServiceServicer):
    """Serves `oviya.v1.BrainService`."""

    def __init__(self, backend: Backend, settings: BrainSettings) -> None:
        self._backend = backend
        self._settings = settings
        self._running = 0

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
                async for sentence in self._backend.reply(exchange):
                    if index == 0:
                        FIRST_SENTENCE_SECONDS.labels(self._backend.name).observe(time.monotonic() - started)
                    SENTENCES.labels(self._backend.name, sentence.emotion).inc()
                    yield brain_pb2.ReplyResponse(
                        index=index, text=sentence.text, emotion=sentence.emotion, backend=self._backend.name
                    )
                    index += 1
        finally:
            self._running -= 1


class BrainService(Service[BrainSettings]):
    """The brain service as a process."""

    name = "brain"
    grpc_services = ("oviya.v1.BrainService",)

    def __init__(self, settings: BrainSettings) -> None:
        super().__init__(settings)
        try:
            self._backend: Backend = Listener()
        except ScriptError as error:
            raise OviyaError(f"the listener's data is faulty: {error}") from error

    def register(self, server: aio.Server) -> None:
        brain_pb2_grpc.add_BrainServiceServicer_to_server(BrainServicer(self._backend, self.settings), server)

    async def start(self) -> None:
        await self._backend.warm()

    async def close(self) -> None:
        await self._backend.close()


def unpack(request: brain_pb2.ReplyRequest, settings: BrainSettings) -> Exchange:
    """Checks a request.

    Raises:
        InvalidInput: a field is empty, too long or unknown.
    """
    if not request.text.strip():
        raise InvalidInput("text", request.text, f"1 to {settings.max_text_chars} characters")
    _check_length("text", request.text, settings.max_text_chars)
    _check_length("session_id", request.session_id, settings.max_session_id_chars)
    if len(request.history) > settings.max_history_turns:
        raise InvalidInput("history", f"{len(request.history)} turns", f"at most {settings.max_history_turns} turns")
    history: list[Turn] = []
    for number, turn in enumerate(request.history):
        if turn.role not in ROLES:
            raise InvalidInput(f"history[{number}].role", turn.role, "ROLE_USER or ROLE_ASSISTANT")
        _check_length(f"history[{number}].text", turn.text, settings.max_text_chars)
        if turn.text.strip():
            history.append(Turn(ROLES[turn.role], turn.text))
    return Exchange(
        text=request.text,
        history=tuple(history),
        user_emotion=known_emotion(request.user_emotion, field="user_emotion"),
        session_id=request.session_id,
    )


def _check_length(field: str, text: str, limit: int) -> None:
    # The length is told, not the text: what people say does not belong into error messages.
    if len(text) > limit:
        raise InvalidInput(field, f"{len(text)} characters", f"at most {limit} characters")
