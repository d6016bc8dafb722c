"""The limits of the engine and of its turns."""

from __future__ import annotations

from dataclasses import dataclass

from services.stt.endpoint.endpointing import EndSilence


@dataclass(frozen=True)
class TurnLimits:
    """When phrases and turns end, in seconds.

    Attributes:
        phrase_silence_s: silence that completes a phrase.
        end_silence: range of the silences that end a turn.
        max_turn_s: longest turn.
        end_silence_s: one silence that ends every turn, in place of `end_silence`.
    """

    phrase_silence_s: float
    end_silence: EndSilence
    max_turn_s: float
    end_silence_s: float | None = None


@dataclass(frozen=True)
class EngineLimits:
    """What the engine admits.

    Attributes:
        sessions: streams that may be open.
        max_session_s: longest session in seconds.
        decode_wait_s: longest time in seconds that a final decode waits for other sessions' decodes.
        idle_s: time in seconds without speech after which a session ends.
        turn_stall_s: how far in seconds the sound of a turn may fall behind the clock.
    """

    sessions: int = 64
    max_session_s: float = 7200.0
    decode_wait_s: float = 5.0
    idle_s: float = 600.0
    turn_stall_s: float = 5.0
