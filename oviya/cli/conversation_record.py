"""What a conversation, or a spoken text, consisted of: its events, collected by turn."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np

from oviya.audio.pcm import Pcm
from oviya.client import (
    AudioChunk,
    ConverseEvent,
    Degraded,
    FinalTranscript,
    Latency,
    ReplyEnded,
    Sentence,
    SessionStarted,
    TurnEnded,
    TurnFailed,
    UserEmotion,
    UserFeeling,
)
from oviya.errors import OviyaError


@dataclass
class TurnRecord:
    """A turn of the user and its reply."""

    number: int
    transcript: FinalTranscript | None = None
    ended: TurnEnded | None = None
    user_emotion: UserEmotion | None = None
    user_feeling: UserFeeling | None = None
    sentences: list[Sentence] = field(default_factory=list[Sentence])
    chunks: list[Pcm] = field(default_factory=list[Pcm])
    reply_duration_s: float | None = None
    latency: Latency | None = None
    """As measured by the gateway."""
    first_audio_here_s: float | None = None
    """Time from sending the end of speech (for Speak: the request) to the arrival of the first audio."""
    error: OviyaError | None = None

    @property
    def reply(self) -> Pcm:
        """Samples of the reply, shape (samples,)."""
        return np.concatenate([np.zeros(0, np.float32), *self.chunks])

    @property
    def reply_text(self) -> str:
        """The sentences of the reply as one text."""
        return " ".join(sentence.text for sentence in self.sentences)

    @property
    def closed(self) -> bool:
        """Whether the turn has no further events."""
        return self.reply_duration_s is not None or self.error is not None

    @property
    def latencies(self) -> dict[str, float | None]:
        """When each stage was reached, in seconds after the end of speech; None: not reached."""
        stages = asdict(self.latency or Latency()) | {"first_audio_here_s": self.first_audio_here_s}
        return {stage.removesuffix("_s"): time for stage, time in stages.items()}


@dataclass
class ConversationRecord:
    """A conversation.  The answer to Speak is its turn 0."""

    session_id: str = ""
    resume_token: str = field(default="", repr=False)
    """The session's secret; empty: the gateway keeps no sessions."""
    sample_rate_hz: int = 0
    """Sample rate of the replies."""
    turns: dict[int, TurnRecord] = field(default_factory=dict[int, TurnRecord])
    degraded: list[Degraded] = field(default_factory=list[Degraded])

    @property
    def reply(self) -> Pcm:
        """All replies, one after the other, shape (samples,)."""
        return np.concatenate([np.zeros(0, np.float32), *(turn.reply for turn in self.turns.values())])

    @property
    def degraded_modes(self) -> list[dict[str, str]]:
        """The degraded services as JSON values."""
        return [{"service": event.service, "message": event.message} for event in self.degraded]

    def turn(self, number: int) -> TurnRecord:
        """Returns the turn of that number; creates it if necessary."""
        return self.turns.setdefault(number, TurnRecord(number))

    def add(self, event: ConverseEvent, elapsed_s: float) -> None:
        """Adds an event that came `elapsed_s` after the first audio was sent."""
        match event:
            case SessionStarted():
                self.session_id, self.sample_rate_hz = event.session_id, event.sample_rate_hz
                self.resume_token = event.resume_token
            case FinalTranscript():
                self.turn(event.turn).transcript = event
            case TurnEnded():
                self.turn(event.turn).ended = event
            case UserEmotion():
                self.turn(event.turn).user_emotion = event
            case UserFeeling():
                self.turn(event.turn).user_feeling = event
            case Sentence():
                self.turn(event.turn).sentences.append(event)
            case AudioChunk():
                turn = self.turn(event.turn)
                if not turn.chunks and turn.ended is not None:
                    turn.first_audio_here_s = elapsed_s - turn.ended.speech_end_s
                turn.chunks.append(event.samples)
            case ReplyEnded():
                turn = self.turn(event.turn)
                turn.reply_duration_s, turn.latency = event.duration_s, event.latency
            case TurnFailed():
                self.turn(event.turn).error = event.error
            case Degraded():
                self.degraded.append(event)
            case _:
                pass
