"""The sessions that the gateway keeps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from oviya.v1 import brain_pb2, conversation_pb2


@dataclass(frozen=True, slots=True)
class KeptTurn:
    """A kept turn: when it ended (UTC), who spoke (``user`` or ``assistant``), and the text that was said and heard."""

    at: datetime
    role: str
    text: str


@dataclass(frozen=True, slots=True)
class KeptSession:
    """A kept session: its turns, oldest first, and a summary of earlier ones.  Both are empty if nothing is kept."""

    session_id: str
    turns: tuple[KeptTurn, ...]
    summary: str


def from_export(session_id: str, pages: Iterable[conversation_pb2.ExportSessionResponse]) -> KeptSession:
    """Joins the pages of an export."""
    turns: list[KeptTurn] = []
    summary = ""
    for page in pages:
        summary = page.summary
        turns += (
            KeptTurn(
                kept.at.ToDatetime(tzinfo=UTC),
                "user" if kept.turn.role == brain_pb2.ROLE_USER else "assistant",
                kept.turn.text,
            )
            for kept in page.turns
        )
    return KeptSession(session_id, tuple(turns), summary)
