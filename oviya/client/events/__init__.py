"""Events of a conversation, of a spoken text and of a transcription.

Times are in seconds; audio is float32 with full scale 1.0.  Each class mirrors one message of ``protos/oviya/v1``; the
comments there describe the fields in detail.
"""

from __future__ import annotations

from typing import TypeAlias

from oviya.client.events.base import Event
from oviya.client.events.reply import (
    AudioChunk,
    Interrupted,
    Latency,
    ReplyEnded,
    ReplyPaused,
    ReplyResumed,
    Sentence,
    WordsSpoken,
)
from oviya.client.events.session import Degraded, RequestFailed, SessionStarted, TurnFailed, VoiceSet
from oviya.client.events.user import (
    Evidence,
    FinalTranscript,
    LikelyEnd,
    PartialTranscript,
    Resumed,
    SpeechStarted,
    SpeechStopped,
    TurnDropped,
    TurnEnded,
    UserEmotion,
    UserFeeling,
    Word,
)

SpeakEvent: TypeAlias = Sentence | AudioChunk | Degraded | ReplyEnded
TurnEvent: TypeAlias = SpeechStarted | PartialTranscript | FinalTranscript | TurnEnded
TranscribeEvent: TypeAlias = TurnEvent | SpeechStopped | LikelyEnd | Resumed
ReplyEvent: TypeAlias = SpeakEvent | WordsSpoken | ReplyPaused | ReplyResumed | Interrupted
ConverseEvent: TypeAlias = (
    SessionStarted
    | TurnEvent
    | TurnDropped
    | UserEmotion
    | UserFeeling
    | ReplyEvent
    | VoiceSet
    | RequestFailed
    | TurnFailed
)

__all__ = [
    "AudioChunk",
    "ConverseEvent",
    "Degraded",
    "Event",
    "Evidence",
    "FinalTranscript",
    "Interrupted",
    "Latency",
    "LikelyEnd",
    "PartialTranscript",
    "ReplyEnded",
    "ReplyEvent",
    "ReplyPaused",
    "ReplyResumed",
    "RequestFailed",
    "Resumed",
    "Sentence",
    "SessionStarted",
    "SpeakEvent",
    "SpeechStarted",
    "SpeechStopped",
    "TranscribeEvent",
    "TurnDropped",
    "TurnEnded",
    "TurnEvent",
    "TurnFailed",
    "UserEmotion",
    "UserFeeling",
    "VoiceSet",
    "Word",
    "WordsSpoken",
]
