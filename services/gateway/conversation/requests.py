"""Checks every field of the requests to Converse and Speak."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace

from oviya.audio.pcm import check_format
from oviya.durations import seconds
from oviya.errors import InvalidInput
from oviya.v1 import common_pb2, conversation_pb2
from oviya.v1.conversation_pb2 import ConverseConfig, SpeakRequest
from services.gateway.settings import GatewaySettings
from services.gateway.voice.segment import SpeechOptions

MAX_SESSION_ID_CHARS = 128
MAX_SPEAKER = 65_535
MAX_STOP_PHRASES = 20
MAX_STOP_PHRASE_CHARS = 64
DEFAULT_INPUT = common_pb2.AudioFormat(encoding=common_pb2.AUDIO_ENCODING_PCM_S16LE, sample_rate_hz=16_000)
DEFAULT_OUTPUT = common_pb2.AudioFormat(encoding=common_pb2.AUDIO_ENCODING_PCM_S16LE, sample_rate_hz=24_000)


@dataclass(frozen=True)
class SessionConfig:
    """A session's configuration, completed and checked.

    `fresh`: the gateway made the name.  `resume_token`: from the caller; empty: none.  `cancel_echo`: it is the gateway
    and not the caller that removes the echo of replies.
    """

    session_id: str
    fresh: bool
    resume_token: str = field(repr=False)
    input: common_pb2.AudioFormat
    output: common_pb2.AudioFormat
    options: SpeechOptions
    stop_phrases: tuple[str, ...] = ()
    cancel_echo: bool = True


@dataclass(frozen=True)
class SpeakOrder:
    """A request to speak, completed and checked."""

    text: str
    emotion: str
    output: common_pb2.AudioFormat
    options: SpeechOptions


def read_config(config: ConverseConfig, settings: GatewaySettings) -> SessionConfig:
    """Checks and completes the first message of Converse.

    Raises:
        InvalidInput: names the field, the value and the limit.
    """
    if config.resume_token and not config.session_id:
        raise InvalidInput("config.session_id", "", "must name the session of the resume_token")
    return SessionConfig(
        session_id=check_session_id(config.session_id or uuid.uuid4().hex, "config.session_id"),
        fresh=not config.session_id,
        resume_token=config.resume_token,
        input=check_format(config.input, "config.input") if config.HasField("input") else DEFAULT_INPUT,
        output=check_format(config.output, "config.output") if config.HasField("output") else DEFAULT_OUTPUT,
        options=_options(config, settings, "config."),
        stop_phrases=_stop_phrases(config),
        cancel_echo=_cancel_echo(config),
    )


def read_order(request: SpeakRequest, settings: GatewaySettings) -> SpeakOrder:
    """Checks and completes a request to speak.  The emotion service checks the emotion.

    Raises:
        InvalidInput: names the field, the value and the limit.
    """
    return SpeakOrder(
        text=check_text(request.text, "text", settings.max_text_chars),
        emotion=request.emotion,
        output=check_format(request.output, "output") if request.HasField("output") else DEFAULT_OUTPUT,
        options=replace(_options(request, settings), seed=request.seed if request.HasField("seed") else None),
    )


def check_session_id(session_id: str, field: str) -> str:
    """Returns the name of a session if it is valid.

    Raises:
        InvalidInput: it is empty, too long, or not printable.
    """
    if not 1 <= len(session_id) <= MAX_SESSION_ID_CHARS or not session_id.isprintable():
        raise InvalidInput(field, session_id, f"must be 1 to {MAX_SESSION_ID_CHARS} printable characters")
    return session_id


def check_text(text: str, field: str, max_chars: int) -> str:
    """Returns `text` if its length is valid.

    Raises:
        InvalidInput: it is empty, only white space, or too long.
    """
    if len(text) > max_chars or not text.strip():
        raise InvalidInput(field, f"{len(text)} characters", f"must be 1 to {max_chars} characters")
    return text


def nothing_to_say(field: str, text: str) -> InvalidInput:
    """Returns the error of a text without anything to say."""
    return InvalidInput(
        field, text, "must contain something to say", hint="send words, numbers or emoji; signs alone are not spoken"
    )


def _cancel_echo(config: ConverseConfig) -> bool:
    if config.echo_cancellation not in conversation_pb2.EchoCancellation.values():
        names = ", ".join(conversation_pb2.EchoCancellation.keys())
        raise InvalidInput("config.echo_cancellation", config.echo_cancellation, f"must be one of {names}")
    return config.echo_cancellation != conversation_pb2.ECHO_CANCELLATION_CALLER


def _stop_phrases(config: ConverseConfig) -> tuple[str, ...]:
    if len(config.stop_phrases) > MAX_STOP_PHRASES:
        raise InvalidInput("config.stop_phrases", f"{len(config.stop_phrases)} phrases", f"at most {MAX_STOP_PHRASES}")
    for index, phrase in enumerate(config.stop_phrases):
        if len(phrase) > MAX_STOP_PHRASE_CHARS or not any(map(str.isalnum, phrase)):
            limit = f"must be 1 to {MAX_STOP_PHRASE_CHARS} characters with a letter or digit among them"
            raise InvalidInput(f"config.stop_phrases[{index}]", phrase, limit)
    return tuple(config.stop_phrases)


def _options(message: ConverseConfig | SpeakRequest, settings: GatewaySettings, prefix: str = "") -> SpeechOptions:
    """Reads the options that both messages have; `prefix` precedes the names of their fields in errors."""
    if message.voice not in conversation_pb2.Voice.values():
        names = ", ".join(conversation_pb2.Voice.keys())
        raise InvalidInput(f"{prefix}voice", message.voice, f"must be one of {names}")
    if message.speaker > MAX_SPEAKER:
        raise InvalidInput(f"{prefix}speaker", message.speaker, f"must be 0 to {MAX_SPEAKER}")
    lead_s = seconds(message.lead) if message.HasField("lead") else settings.lead_s
    if message.HasField("lead") and not 0 <= lead_s <= settings.max_lead_s:
        raise InvalidInput(f"{prefix}lead", f"{lead_s:g} s", f"must be 0 to {settings.max_lead_s:g} s")
    return SpeechOptions(message.voice, message.speaker, lead_s)
