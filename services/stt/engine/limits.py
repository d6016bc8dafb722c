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
        slots: turns that are decoded at once.
        warm: recognizers that are loaded at the start and kept; the others are loaded when needed.
        max_session_s: longest session in seconds.
        slot_wait_s: longest time in seconds that a turn waits for a slot.
        idle_s: time in seconds without speech after which a session ends.
        turn_stall_s: how far in seconds the sound of a turn may fall behind the clock.
        spare_idle_s: time in seconds after which an unused recognizer that is not kept warm is closed.
        check_every_s: time in seconds between two checks of the unused recognizers.
    """

    sessions: int = 64
    slots: int = 4
    warm: int = 2
    max_session_s: float = 7200.0
    slot_wait_s: float = 5.0
    idle_s: float = 600.0
    turn_stall_s: float = 5.0
    spare_idle_s: float = 60.0
    check_every_s: float = 2.0
