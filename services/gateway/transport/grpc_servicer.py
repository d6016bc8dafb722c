"""The gRPC transport: passes messages to `Conversation`."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import aclosing
from typing import Any

from grpc import aio

from oviya.v1 import conversation_pb2, conversation_pb2_grpc
from services.gateway.client_address import ClientAddresses, grpc_peer_address
from services.gateway.conversation.conversation import Conversation
from services.gateway.conversation.requests import check_session_id
from services.gateway.memory.export import make_page, read_page
from services.gateway.memory.session_repository import SessionRepository
from services.gateway.settings import GatewaySettings


class ConversationServicer(conversation_pb2_grpc.ConversationServiceServicer):
    """The RPCs of conversation.proto."""

    def __init__(self, conversation: Conversation, repository: SessionRepository, settings: GatewaySettings) -> None:
        self._conversation = conversation
        self._repository = repository
        self._clients = ClientAddresses(settings.trusted_proxies)

    def _client(self, context: aio.ServicerContext[Any, Any]) -> str:
        forwarded = [str(value) for key, value in context.invocation_metadata() or () if key == "x-forwarded-for"]
        return self._clients.name(grpc_peer_address(context.peer()), forwarded)

    async def Converse(
        self, request_iterator: AsyncIterable[conversation_pb2.ConverseRequest], context: aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[conversation_pb2.ConverseResponse]:
        events = self._conversation.converse(request_iterator, client=self._client(context))
        async with aclosing(events):
            async for event in events:
                yield event

    async def Speak(
        self, request: conversation_pb2.SpeakRequest, context: aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[conversation_pb2.SpeakResponse]:
        events = self._conversation.speak(request, client=self._client(context))
        async with aclosing(events):
            async for event in events:
                yield event

    async def ExportSession(
        self, request: conversation_pb2.ExportSessionRequest, context: aio.ServicerContext[Any, Any]
    ) -> conversation_pb2.ExportSessionResponse:
        session_id = check_session_id(request.session_id, "session_id")
        page = read_page(request)
        kept = await self._repository.export(session_id, request.resume_token, after=page.after, limit=page.limit + 1)
        return make_page(kept, page)

    async def DeleteSession(
        self, request: conversation_pb2.DeleteSessionRequest, context: aio.ServicerContext[Any, Any]
    ) -> conversation_pb2.DeleteSessionResponse:
        check_session_id(request.session_id, "session_id")
        turns = await self._repository.delete(request.session_id, request.resume_token)
        return conversation_pb2.DeleteSessionResponse(turns=turns)
