"""When each stage of a turn was reached, as the contract counts it."""

from __future__ import annotations

from typing import Any

from oviya.durations import duration
from oviya.v1 import conversation_pb2
from services.gateway.voice.speaker import Spoken


def latency(
    spoken: Spoken, *, since: float, turn_end: float | None = None, final_transcript: float | None = None
) -> conversation_pb2.TurnLatency:
    """Counts the stages that were reached from `since`; all times are the event loop's, in seconds."""
    stages = {
        "turn_end": turn_end,
        "final_transcript": final_transcript,
        "first_sentence": spoken.first_sentence_at,
        "first_frame": spoken.first_frame_at,
        "first_audio": spoken.first_audio_at,
    }
    reached: dict[str, Any] = {stage: duration(max(0.0, at - since)) for stage, at in stages.items() if at is not None}
    return conversation_pb2.TurnLatency(**reached)
