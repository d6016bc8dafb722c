"""The gRPC side of the gateway: passes messages on to `Conversation`."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import aclosing
from typing import Any

from grpc import aio

from oviya.v1 import conversation_pb2, conversation_pb2_grpc
from services.gateway.conversation import Conversation


class ConversationServicer(conversation_pb2_grpc.ConversationServiceServicer):
    """The RPCs of conversation.proto."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    async def Converse(
        self, request_iterator: AsyncIterable[conversation_pb2.ConverseRequest], context: aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[conversation_pb2.ConverseResponse]:
        async with aclosing(self._conversation.converse(request_iterator)) as events:
            async for event in events:
                yield event

    async def Speak(
        self, request: conversation_pb2.SpeakRequest, context: aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[conversation_pb2.SpeakResponse]:
        async with aclosing(self._conversation.speak(request)) as events:
            async for event in events:
                yield event
