"""Makes the engine and the recognizers that the settings select."""

from __future__ import annotations

from services.stt.decode.sphinx import SphinxRecognizer
from services.stt.decode.whisperx_backend import WhisperXBackend
from services.stt.endpoint.endpointing import EndSilence
from services.stt.engine.engine import SttEngine
from services.stt.engine.limits import EngineLimits, TurnLimits
from services.stt.frontend.suppression import NoiseSuppressor
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
        slots=settings.slots,
        warm=settings.warm_decoders,
        max_session_s=settings.max_session_s,
        slot_wait_s=settings.slot_wait_s,
        idle_s=settings.idle_s,
        turn_stall_s=settings.turn_stall_s,
    )
    suppress = {"on": True, "off": False, "auto": settings.backend == "pocketsphinx"}[settings.noise_suppression]
    make_suppressor = NoiseSuppressor if suppress else None
    make_recognizer = SphinxRecognizer if settings.backend == "pocketsphinx" else WhisperXBackend(settings).recognizer
    return SttEngine(turns, limits, make_recognizer, make_suppressor)
