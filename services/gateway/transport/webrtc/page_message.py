"""Messages from the page over its data channel."""

from __future__ import annotations

from google.protobuf import json_format

from oviya.errors import InvalidInput
from oviya.v1 import conversation_pb2

MAX_MESSAGE_BYTES = 64 << 10
"""Longest JSON message from the page: 8192 escaped characters."""


def read_message(message: str | bytes, max_text_chars: int) -> conversation_pb2.ConverseRequest:
    """Reads a message from the page: a ConverseRequest as JSON with `text` or `endTurn`.

    Raises:
        InvalidInput: it is too long, not such JSON, or another request, or its text is empty or longer than
            `max_text_chars`.
    """
    size = len(message.encode() if isinstance(message, str) else message)
    if size > MAX_MESSAGE_BYTES:
        raise InvalidInput("message", f"{size} bytes", f"at most {MAX_MESSAGE_BYTES} bytes")
    limit = 'must be {"text": "..."} or {"endTurn": {}}'
    if isinstance(message, bytes):
        raise InvalidInput("message", "bytes", limit)
    try:
        request = json_format.Parse(message, conversation_pb2.ConverseRequest())
    except (json_format.ParseError, RecursionError) as error:
        raise InvalidInput("message", message, limit) from error
    kind = request.WhichOneof("request")
    if kind not in ("text", "end_turn"):
        raise InvalidInput("message", kind or message, limit)
    if kind == "text" and not 1 <= len(request.text) <= max_text_chars:
        raise InvalidInput("text", f"{len(request.text)} characters", f"must be 1 to {max_text_chars} characters")
    return request
