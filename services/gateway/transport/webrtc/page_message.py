"""Messages from the page over its data channel."""

from __future__ import annotations

from google.protobuf import json_format

from oviya.errors import InvalidInput
from oviya.v1 import conversation_pb2

MAX_MESSAGE_BYTES = 64 << 10
"""Longest JSON message from the page: 8192 escaped characters."""
MAX_NAME_CHARS = 64
"""Longest name of a registered voice or an emotion."""
MAX_TOKEN_CHARS = 256
"""Longest token of a registered voice."""
MAX_SPEAKER = 65_535
KINDS = {
    "text": '{"text": "..."}',
    "end_turn": '{"endTurn": {}}',
    "interrupt": '{"interrupt": {}}',
    "set_voice": '{"setVoice": {"registered": "...", "voiceToken": "..."}}',
    "set_emotion": '{"setEmotion": {"emotion": "..."}}',
}
"""The requests that the page may send, each with an example.  Sound comes by its track, the configuration is the
gateway's, and `played` is sent by the playout."""


def read_message(message: str | bytes, max_text_chars: int) -> conversation_pb2.ConverseRequest:
    """Reads a message from the page: a ConverseRequest as JSON with one of `KINDS`.

    Raises:
        InvalidInput: it is too long, not such JSON, or another request, or a field is empty or too long.
    """
    size = len(message.encode() if isinstance(message, str) else message)
    if size > MAX_MESSAGE_BYTES:
        raise InvalidInput("message", f"{size} bytes", f"at most {MAX_MESSAGE_BYTES} bytes")
    limit = f"must be one of {', '.join(KINDS.values())}"
    if isinstance(message, bytes):
        raise InvalidInput("message", "bytes", limit)
    try:
        request = json_format.Parse(message, conversation_pb2.ConverseRequest())
    except (json_format.ParseError, RecursionError) as error:
        raise InvalidInput("message", message, limit) from error
    kind = request.WhichOneof("request")
    if kind not in KINDS:
        raise InvalidInput("message", kind or message, limit)
    match kind:
        case "text":
            _check_length("text", request.text, 1, max_text_chars)
        case "set_voice":
            _check_voice(request.set_voice)
        case "set_emotion":
            _check_length("set_emotion.emotion", request.set_emotion.emotion, 0, MAX_NAME_CHARS)
    return request


def _check_voice(request: conversation_pb2.SetVoice) -> None:
    match request.WhichOneof("source"):
        case "registered":
            _check_length("set_voice.registered", request.registered, 1, MAX_NAME_CHARS)
            _check_length("set_voice.voice_token", request.voice_token, 1, MAX_TOKEN_CHARS)
        case "speaker":
            if request.speaker > MAX_SPEAKER:
                raise InvalidInput("set_voice.speaker", request.speaker, f"must be 0 to {MAX_SPEAKER}")
        case "clip":
            raise InvalidInput(
                "set_voice.clip", "a clip", "a data channel is too slow for it", hint="send it to POST /voices first"
            )
        case _:
            raise InvalidInput("set_voice", "no source", "must name a registered voice or a speaker")
    if request.keep_as:
        raise InvalidInput("set_voice.keep_as", request.keep_as, "only a clip can be kept")


def _check_length(field: str, value: str, least: int, most: int) -> None:
    if not least <= len(value) <= most:
        raise InvalidInput(field, f"{len(value)} characters", f"must be {least} to {most} characters")
