"""Events of the session: its start, answers to requests, and failures."""

from __future__ import annotations

from dataclasses import dataclass, field

from oviya.client.events.base import Event
from oviya.errors import OviyaError


@dataclass(frozen=True, slots=True)
class SessionStarted(Event):
    """The session is open.  Always the first event of a conversation."""

    session_id: str
    sample_rate_hz: int
    """Rate of the reply's audio."""
    resume_token: str = field(default="", repr=False)
    """The secret that resumes, exports and deletes the session; empty: the gateway keeps no sessions."""


@dataclass(frozen=True, slots=True)
class Degraded(Event):
    """A service is degraded; `message` describes the substitute.  The session continues."""

    service: str
    message: str


@dataclass(frozen=True, slots=True)
class TurnFailed(Event):
    """The turn failed and has no further events.  The session continues."""

    error: OviyaError


@dataclass(frozen=True, slots=True)
class VoiceSet(Event):
    """The following replies are spoken with the voice of `Conversation.set_voice`."""

    registered: str
    """Name under which the clip is kept; empty: a speaker of the checkpoint, or a clip that is not kept."""
    voice_token: str = field(repr=False)
    """The secret that belongs to the name; empty: as above."""
    text: str
    """What is said in the clip; empty: there is no clip."""


@dataclass(frozen=True, slots=True)
class RequestFailed(Event):
    """A request (`interrupt`, `played`, `set_voice`, `set_emotion`) was refused.  Nothing else changes."""

    error: OviyaError
