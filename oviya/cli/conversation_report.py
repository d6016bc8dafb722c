"""The JSON of `oviya talk` and `oviya chat`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from oviya.cli.conversation_record import ConversationRecord, TurnRecord
from oviya.cli.output import describe


def report_of(record: ConversationRecord) -> dict[str, Any]:
    """Returns a conversation as a JSON value."""
    return {
        "session_id": record.session_id,
        "resume_token": record.resume_token,
        "sample_rate_hz": record.sample_rate_hz,
        "transcript": " ".join(turn.transcript.text for turn in record.turns.values() if turn.transcript),
        "reply": " ".join(turn.reply_text for turn in record.turns.values() if turn.sentences),
        "turns": [_turn_report(turn) for turn in record.turns.values()],
        "degraded": record.degraded_modes,
    }


def _turn_report(turn: TurnRecord) -> dict[str, Any]:
    heard, ended, feeling = turn.transcript, turn.ended, turn.user_emotion
    return {
        "turn": turn.number,
        "turn_id": turn.turn_id,
        "transcript": heard.text if heard else "",
        "language": heard.language if heard else "",
        "words": [asdict(word) for word in heard.words] if heard else [],
        "turn_end_reason": ended.reason if ended else None,
        "speech_end_s": ended.speech_end_s if ended else None,
        "user_emotion": {"emotion": feeling.emotion, "score": feeling.score} if feeling else None,
        "user_feeling": asdict(turn.user_feeling) if turn.user_feeling else None,
        "reply": turn.reply_text,
        "sentences": [
            {
                "text": sentence.text,
                "voice": sentence.voice,
                "language": sentence.language,
                "plan": asdict(sentence.plan),
            }
            for sentence in turn.sentences
        ],
        "reply_duration_s": turn.reply_duration_s,
        "latency_s": turn.latencies,
        "interrupted": asdict(turn.interrupted) if turn.interrupted else None,
        "dropped": asdict(turn.dropped) if turn.dropped else None,
        "error": describe(turn.error) if turn.error else None,
    }
