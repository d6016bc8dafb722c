"""Messages of `oviya.v1` to the values of `oviya.client.events`.

The readers return None for an event that only newer versions of the contract have, and the caller skips it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, TypeVar

from oviya.audio.pcm import decode_pcm
from oviya.client import events
from oviya.durations import seconds
from oviya.emotions.values import ProsodyPlan, Tone
from oviya.errors import InvalidInput
from oviya.status import error_from_detail
from oviya.v1 import common_pb2, conversation_pb2, emotion_pb2, stt_pb2

Copied = TypeVar("Copied", ProsodyPlan, Tone)

VOICES: dict[str, conversation_pb2.Voice.ValueType] = {
    "auto": conversation_pb2.VOICE_UNSPECIFIED,
    "csm": conversation_pb2.VOICE_CSM,
    "fallback": conversation_pb2.VOICE_FALLBACK,
}
ECHO_CANCELLATIONS: dict[str, conversation_pb2.EchoCancellation.ValueType] = {
    "gateway": conversation_pb2.ECHO_CANCELLATION_GATEWAY,
    "caller": conversation_pb2.ECHO_CANCELLATION_CALLER,
}
_VOICE_NAMES: dict[int, str] = {number: name for name, number in VOICES.items()}
_TURN_END_REASONS: dict[int, str] = {
    stt_pb2.TURN_END_REASON_SILENCE: "silence",
    stt_pb2.TURN_END_REASON_REQUESTED: "requested",
    stt_pb2.TURN_END_REASON_MAX_LENGTH: "max_length",
    stt_pb2.TURN_END_REASON_STREAM_END: "stream_end",
}

_INTERRUPT_REASONS: dict[int, str] = {
    conversation_pb2.INTERRUPT_REASON_SPEECH: "speech",
    conversation_pb2.INTERRUPT_REASON_STOP_PHRASE: "stop_phrase",
    conversation_pb2.INTERRUPT_REASON_REQUESTED: "requested",
}
_DROP_REASONS: dict[int, str] = {
    conversation_pb2.DROP_REASON_BACKCHANNEL: "backchannel",
    conversation_pb2.DROP_REASON_NO_WORDS: "no_words",
    conversation_pb2.DROP_REASON_ECHO: "echo",
    conversation_pb2.DROP_REASON_STOP_PHRASE: "stop_phrase",
}


def voice_number(name: str) -> conversation_pb2.Voice.ValueType:
    """Returns the enum value of ``auto``, ``csm`` or ``fallback``.

    Raises:
        InvalidInput: another name.
    """
    if name not in VOICES:
        raise InvalidInput("voice", name, f"must be one of {', '.join(VOICES)}")
    return VOICES[name]


def echo_cancellation_number(name: str) -> conversation_pb2.EchoCancellation.ValueType:
    """Returns the enum value of ``gateway`` or ``caller``.

    Raises:
        InvalidInput: another name.
    """
    if name not in ECHO_CANCELLATIONS:
        raise InvalidInput("echo_cancellation", name, f"must be one of {', '.join(ECHO_CANCELLATIONS)}")
    return ECHO_CANCELLATIONS[name]


def from_converse(message: conversation_pb2.ConverseResponse) -> events.ConverseEvent | None:
    """Reads an event of a conversation."""
    event = _read(message.turn, message)
    if isinstance(event, events.AudioChunk):
        return replace(event, turn_id=message.turn_id, position_s=seconds(message.position))
    return event and replace(event, turn_id=message.turn_id)


def from_speak(message: conversation_pb2.SpeakResponse) -> events.SpeakEvent | None:
    """Reads a message of the answer to Speak; its turn is 0."""
    return _read(0, message)


def from_transcribe(message: stt_pb2.TranscribeResponse) -> events.TranscribeEvent | None:
    """Reads an event of a transcription."""
    return _read(message.turn, message)


def _read(turn: int, message: Any) -> Any:
    kind = message.WhichOneof("event")
    return _READERS[kind](turn, getattr(message, kind)) if kind in _READERS else None


def _final(turn: int, transcript: stt_pb2.Transcript) -> events.FinalTranscript:
    words = (
        events.Word(word.text, seconds(word.start), seconds(word.end), word.confidence) for word in transcript.words
    )
    return events.FinalTranscript(turn, transcript.text, tuple(words), transcript.language)


def _turn_ended(turn: int, ended: stt_pb2.TurnEnded) -> events.TurnEnded:
    reason = _TURN_END_REASONS.get(ended.reason, str(ended.reason))
    return events.TurnEnded(turn, reason, seconds(ended.speech_end))


def _copied(kind: type[Copied], message: Any) -> Copied:
    """Copies the fields of a dataclass from a message that has the same ones."""
    return kind(**{field.name: getattr(message, field.name) for field in fields(kind)})


def _feeling(turn: int, feeling: emotion_pb2.DetectResponse) -> events.UserFeeling:
    return events.UserFeeling(
        turn,
        emotions=tuple((score.emotion, score.score) for score in feeling.emotions),
        valence=feeling.valence,
        arousal=feeling.arousal,
        confidence=feeling.confidence,
        intensity=feeling.intensity,
        tone=_copied(Tone, feeling.tone),
        text=_evidence(feeling.text) if feeling.HasField("text") else None,
        voice=_evidence(feeling.voice) if feeling.HasField("voice") else None,
    )


def _evidence(evidence: emotion_pb2.Evidence) -> events.Evidence:
    return events.Evidence(
        labels=tuple((score.label, score.score) for score in evidence.labels),
        valence=evidence.valence,
        arousal=evidence.arousal,
        confidence=evidence.confidence,
        notes=tuple(evidence.notes),
    )


def _sentence(turn: int, sentence: conversation_pb2.ReplySentence) -> events.Sentence:
    voice = _VOICE_NAMES.get(sentence.voice, str(sentence.voice))
    return events.Sentence(
        turn,
        sentence.index,
        sentence.text,
        _copied(ProsodyPlan, sentence.plan),
        voice,
        sentence.spoken,
        sentence.language,
        sentence.filler,
    )


def _audio(turn: int, audio: common_pb2.Audio) -> events.AudioChunk:
    return events.AudioChunk(turn, decode_pcm(audio.pcm, audio.format.encoding), audio.format.sample_rate_hz)


def _reply_ended(turn: int, ended: conversation_pb2.ReplyEnded) -> events.ReplyEnded:
    reached = {f"{stage.name}_s": seconds(time) for stage, time in ended.latency.ListFields()}
    return events.ReplyEnded(turn, seconds(ended.duration), events.Latency(**reached))


def _interrupted(turn: int, it: conversation_pb2.Interrupted) -> events.Interrupted:
    reason = _INTERRUPT_REASONS.get(it.reason, str(it.reason))
    return events.Interrupted(turn, reason, it.heard_text, it.unheard_text, seconds(it.position))


_READERS: dict[str, Callable[[int, Any], Any]] = {
    "session_started": lambda turn, it: events.SessionStarted(
        turn, it.session_id, it.output.sample_rate_hz, it.resume_token
    ),
    "speech_started": lambda turn, it: events.SpeechStarted(turn, seconds(it.start)),
    "partial": lambda turn, it: events.PartialTranscript(turn, it.text),
    "final": _final,
    "speech_stopped": lambda turn, it: events.SpeechStopped(turn, seconds(it.end)),
    "likely_end": lambda turn, it: events.LikelyEnd(turn, it.text),
    "resumed": lambda turn, _: events.Resumed(turn),
    "turn_ended": _turn_ended,
    "user_emotion": lambda turn, it: events.UserEmotion(turn, it.emotion, it.score),
    "user_feeling": _feeling,
    "reply_sentence": _sentence,  # of ConverseResponse
    "sentence": _sentence,  # of SpeakResponse
    "audio": _audio,
    "reply_ended": _reply_ended,  # of ConverseResponse
    "ended": _reply_ended,  # of SpeakResponse
    "degraded": lambda turn, it: events.Degraded(turn, it.service, it.message),
    "reply_paused": lambda turn, it: events.ReplyPaused(turn, seconds(it.position)),
    "reply_resumed": lambda turn, it: events.ReplyResumed(turn, seconds(it.position)),
    "interrupted": _interrupted,
    "turn_dropped": lambda turn, it: events.TurnDropped(turn, _DROP_REASONS.get(it.reason, str(it.reason)), it.text),
    "words_spoken": lambda turn, it: events.WordsSpoken(turn, it.index, it.chars),
    "voice_set": lambda turn, it: events.VoiceSet(turn, it.registered, it.voice_token, it.text),
    "request_failed": lambda turn, it: events.RequestFailed(turn, error_from_detail(it)),
    "turn_failed": lambda turn, it: events.TurnFailed(turn, error_from_detail(it)),
}
"""What makes an event of each field of the `event` oneofs, given its turn and the field's message."""
