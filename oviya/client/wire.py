"""Messages of `oviya.v1` to the values of `oviya.client.events`.

Where a newer server sends an event that this client does not know, the readers return None and the caller passes it
over: the contract only ever grows.
"""

from __future__ import annotations

from oviya.audio.pcm import decode_pcm
from oviya.client import events
from oviya.durations import seconds
from oviya.errors import InvalidInput
from oviya.status import error_from_detail
from oviya.v1 import common_pb2, conversation_pb2, emotion_pb2, stt_pb2

VOICES: dict[str, conversation_pb2.Voice.ValueType] = {
    "auto": conversation_pb2.VOICE_UNSPECIFIED,
    "csm": conversation_pb2.VOICE_CSM,
    "fallback": conversation_pb2.VOICE_FALLBACK,
}
_VOICE_NAMES: dict[int, str] = {number: name for name, number in VOICES.items()}
_TURN_END_REASONS: dict[int, str] = {
    stt_pb2.TURN_END_REASON_SILENCE: "silence",
    stt_pb2.TURN_END_REASON_REQUESTED: "requested",
    stt_pb2.TURN_END_REASON_MAX_LENGTH: "max_length",
    stt_pb2.TURN_END_REASON_STREAM_END: "stream_end",
}


def voice_number(name: str) -> conversation_pb2.Voice.ValueType:
    """Returns the wire's value of ``auto``, ``csm`` or ``fallback``.

    Raises:
        InvalidInput: another name.
    """
    if name not in VOICES:
        raise InvalidInput("voice", name, f"must be one of {', '.join(VOICES)}")
    return VOICES[name]


def from_converse(  # noqa: PLR0911, PLR0912  (one event a return)
    message: conversation_pb2.ConverseResponse,
) -> events.ConverseEvent | None:
    """Reads one event of a conversation."""
    turn = message.turn
    match message.WhichOneof("event"):
        case "session_started":
            started = message.session_started
            return events.SessionStarted(turn, started.session_id, started.output.sample_rate_hz, started.resume_token)
        case "speech_started":
            return events.SpeechStarted(turn, seconds(message.speech_started.start))
        case "partial":
            return events.PartialTranscript(turn, message.partial.text)
        case "final":
            return _final(turn, message.final)
        case "turn_ended":
            return _turn_ended(turn, message.turn_ended)
        case "user_emotion":
            return events.UserEmotion(turn, message.user_emotion.emotion, message.user_emotion.score)
        case "user_feeling":
            return _feeling(turn, message.user_feeling)
        case "reply_sentence":
            return _sentence(turn, message.reply_sentence)
        case "audio":
            return _audio(turn, message.audio)
        case "reply_ended":
            return _reply_ended(turn, message.reply_ended)
        case "degraded":
            return events.Degraded(turn, message.degraded.service, message.degraded.message)
        case "turn_failed":
            return events.TurnFailed(turn, error_from_detail(message.turn_failed))
        case None:
            return None


def from_speak(message: conversation_pb2.SpeakResponse) -> events.SpeakEvent | None:
    """Reads one message of the answer to Speak; its turn is 0."""
    match message.WhichOneof("event"):
        case "sentence":
            return _sentence(0, message.sentence)
        case "audio":
            return _audio(0, message.audio)
        case "degraded":
            return events.Degraded(0, message.degraded.service, message.degraded.message)
        case "ended":
            return _reply_ended(0, message.ended)
        case None:
            return None


def from_transcribe(  # noqa: PLR0911  (one event a return)
    message: stt_pb2.TranscribeResponse,
) -> events.TranscribeEvent | None:
    """Reads one event of a transcription."""
    turn = message.turn
    match message.WhichOneof("event"):
        case "speech_started":
            return events.SpeechStarted(turn, seconds(message.speech_started.start))
        case "partial":
            return events.PartialTranscript(turn, message.partial.text)
        case "final":
            return _final(turn, message.final)
        case "likely_end":
            return events.LikelyEnd(turn, message.likely_end.text)
        case "resumed":
            return events.Resumed(turn)
        case "turn_ended":
            return _turn_ended(turn, message.turn_ended)
        case None:
            return None


def _final(turn: int, transcript: stt_pb2.Transcript) -> events.FinalTranscript:
    words = (
        events.Word(word.text, seconds(word.start), seconds(word.end), word.confidence) for word in transcript.words
    )
    return events.FinalTranscript(turn, transcript.text, tuple(words))


def _turn_ended(turn: int, ended: stt_pb2.TurnEnded) -> events.TurnEnded:
    reason = _TURN_END_REASONS.get(ended.reason, str(ended.reason))
    return events.TurnEnded(turn, reason, seconds(ended.speech_end))


def _feeling(turn: int, feeling: emotion_pb2.DetectResponse) -> events.UserFeeling:
    tone = feeling.tone
    return events.UserFeeling(
        turn,
        emotions=tuple((score.emotion, score.score) for score in feeling.emotions),
        valence=feeling.valence,
        arousal=feeling.arousal,
        confidence=feeling.confidence,
        intensity=feeling.intensity,
        tone=events.Tone(
            feeling=tone.feeling,
            mirror=tone.mirror,
            support=tone.support,
            ask=tone.ask,
            intensity=tone.intensity,
            blend=tone.blend,
            blend_share=tone.blend_share,
            reason=tone.reason,
        ),
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


def _plan(plan: emotion_pb2.ProsodyPlan) -> events.ProsodyPlan:
    return events.ProsodyPlan(
        emotion=plan.emotion,
        style=plan.style,
        reference_clip=plan.reference_clip,
        temperature=plan.temperature,
        pitch_scale=plan.pitch_scale,
        rate_scale=plan.rate_scale,
        energy_scale=plan.energy_scale,
    )


def _sentence(turn: int, sentence: conversation_pb2.ReplySentence) -> events.Sentence:
    voice = _VOICE_NAMES.get(sentence.voice, str(sentence.voice))
    return events.Sentence(
        turn, sentence.index, sentence.text, _plan(sentence.plan), voice, sentence.spoken, sentence.language
    )


def _audio(turn: int, audio: common_pb2.Audio) -> events.AudioChunk:
    return events.AudioChunk(turn, decode_pcm(audio.pcm, audio.format.encoding), audio.format.sample_rate_hz)


def _reply_ended(turn: int, ended: conversation_pb2.ReplyEnded) -> events.ReplyEnded:
    latency = ended.latency
    return events.ReplyEnded(
        turn,
        seconds(ended.duration),
        events.Latency(
            turn_end_s=seconds(latency.turn_end) if latency.HasField("turn_end") else None,
            final_transcript_s=seconds(latency.final_transcript) if latency.HasField("final_transcript") else None,
            first_sentence_s=seconds(latency.first_sentence) if latency.HasField("first_sentence") else None,
            first_frame_s=seconds(latency.first_frame) if latency.HasField("first_frame") else None,
            first_audio_s=seconds(latency.first_audio) if latency.HasField("first_audio") else None,
        ),
    )
