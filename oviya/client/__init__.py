"""The client library: transcribe, converse and speak over gRPC, with numpy arrays in and out.

    async with Oviya("localhost:50050") as oviya:
        async for event in oviya.speak("Hello there.", emotion="joy"):
            print(event)

It needs only grpcio, protobuf and numpy.  Errors are raised as the types of `oviya.errors`.
"""

from oviya.client.aio import Oviya
from oviya.client.conversation import Conversation
from oviya.client.events import (
    AudioChunk,
    ConverseEvent,
    Degraded,
    Evidence,
    FinalTranscript,
    Interrupted,
    Latency,
    LikelyEnd,
    PartialTranscript,
    ReplyEnded,
    ReplyPaused,
    ReplyResumed,
    RequestFailed,
    Resumed,
    Sentence,
    SessionStarted,
    SpeakEvent,
    SpeechStarted,
    SpeechStopped,
    TranscribeEvent,
    TurnDropped,
    TurnEnded,
    TurnFailed,
    UserEmotion,
    UserFeeling,
    VoiceSet,
    Word,
    WordsSpoken,
)
from oviya.client.loudspeaker import Loudspeaker
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
    "Interrupted",
    "KeptSession",
    "KeptTurn",
    "Latency",
    "LikelyEnd",
    "Loudspeaker",
    "Oviya",
    "OviyaSync",
    "PartialTranscript",
    "ProsodyPlan",
    "ReplyEnded",
    "ReplyPaused",
    "ReplyResumed",
    "RequestFailed",
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
    "TurnDropped",
    "TurnEnded",
    "TurnFailed",
    "UserEmotion",
    "UserFeeling",
    "VoiceSet",
    "Word",
    "WordsSpoken",
]
