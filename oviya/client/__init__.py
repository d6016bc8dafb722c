"""The client library: transcribe, converse and speak over gRPC, with numpy arrays in and out.

    async with Oviya("localhost:50050") as oviya:
        async for event in oviya.speak("Hello there.", emotion="joy"):
            print(event)

It needs only grpcio, protobuf and numpy.  Errors are raised as the types of `oviya.errors`.
"""

from oviya.client.aio import Conversation, Oviya
from oviya.client.events import (
    AudioChunk,
    ConverseEvent,
    Degraded,
    Evidence,
    FinalTranscript,
    Latency,
    LikelyEnd,
    PartialTranscript,
    ReplyEnded,
    Resumed,
    Sentence,
    SessionStarted,
    SpeakEvent,
    SpeechStarted,
    SpeechStopped,
    TranscribeEvent,
    TurnEnded,
    TurnFailed,
    UserEmotion,
    UserFeeling,
    Word,
)
from oviya.client.sessions import KeptSession, KeptTurn
from oviya.client.speaking import SayOptions, SpeakOptions, Speech
from oviya.client.sync import OviyaSync
from oviya.client.transcription import SpeechToText
from oviya.emotions.values import ProsodyPlan, Tone

__all__ = [
    "AudioChunk",
    "Conversation",
    "ConverseEvent",
    "Degraded",
    "Evidence",
    "FinalTranscript",
    "KeptSession",
    "KeptTurn",
    "Latency",
    "LikelyEnd",
    "Oviya",
    "OviyaSync",
    "PartialTranscript",
    "ProsodyPlan",
    "ReplyEnded",
    "Resumed",
    "SayOptions",
    "Sentence",
    "SessionStarted",
    "SpeakEvent",
    "SpeakOptions",
    "Speech",
    "SpeechStarted",
    "SpeechStopped",
    "SpeechToText",
    "Tone",
    "TranscribeEvent",
    "TurnEnded",
    "TurnFailed",
    "UserEmotion",
    "UserFeeling",
    "Word",
]
