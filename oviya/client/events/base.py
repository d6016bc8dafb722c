"""What all events have in common."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in the turn number `turn`."""

    turn: int
    turn_id: str = field(default="", kw_only=True)
    """Name of the turn in the logs and traces of the services; empty outside conversations, and if no turn is
    concerned."""
