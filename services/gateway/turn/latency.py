"""Latencies of a turn's stages, as the contract counts them."""

from __future__ import annotations

from typing import Any

from oviya.durations import duration
from oviya.v1 import conversation_pb2
from services.gateway.voice.speech_handle import SpeechHandle


def latency(
    speech: SpeechHandle | None, *, since: float, turn_end: float | None = None, final_transcript: float | None = None
) -> conversation_pb2.TurnLatency:
    """Returns the time from `since` to each stage that was reached; all times are the event loop's, in seconds.

    Args:
        speech: the reply; None: there is none.
        since: end of the user's speech, or when the request came.
        turn_end: when the end of the turn was decided.
        final_transcript: when the final transcript came.
    """
    stages = {"turn_end": turn_end, "final_transcript": final_transcript}
    if speech is not None:
        stages["first_sentence"] = speech.first_sentence_at
        stages["first_frame"] = speech.first_frame_at
        stages["first_audio"] = speech.first_audio_at
    reached: dict[str, Any] = {stage: duration(max(0.0, at - since)) for stage, at in stages.items() if at is not None}
    return conversation_pb2.TurnLatency(**reached)
