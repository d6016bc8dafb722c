"""Makes the engine and the recognizer that the settings select."""

from __future__ import annotations

from services.stt.decode.whisper import WhisperRecognizer
from services.stt.endpoint.endpointing import EndSilence
from services.stt.engine.engine import SttEngine
from services.stt.engine.limits import EngineLimits, TurnLimits
from services.stt.recognizer import Recognizer
from services.stt.settings import SttSettings


def make_engine(settings: SttSettings) -> SttEngine:
    """Returns an engine that has loaded nothing yet.

    Raises:
        CheckpointError: the backend's packages are not installed.
    """
    turns = TurnLimits(
        settings.phrase_silence_s,
        EndSilence(
            settings.end_silence_min_s,
            settings.end_silence_max_s,
            settings.end_silence_cap_s,
            settings.end_silence_dictation_s,
        ),
        settings.max_turn_s,
    )
    limits = EngineLimits(
        sessions=settings.sessions,
        max_session_s=settings.max_session_s,
        decode_wait_s=settings.decode_wait_s,
        idle_s=settings.idle_s,
        turn_stall_s=settings.turn_stall_s,
    )
    return SttEngine(turns, limits, _make_recognizer(settings))


def _make_recognizer(settings: SttSettings) -> Recognizer:
    if settings.backend == "whisperx":
        from services.stt.decode.whisperx import WhisperXRecognizer

        return WhisperXRecognizer(settings)
    return WhisperRecognizer(settings)
