"""What a conversation, or a spoken text, consisted of: its events, collected by turn."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np

from oviya.audio.fades import fade_out
from oviya.audio.pcm import Pcm
from oviya.client import (
    AudioChunk,
    ConverseEvent,
    Degraded,
    FinalTranscript,
    Interrupted,
    Latency,
    PartialTranscript,
    ReplyEnded,
    ReplyPaused,
    ReplyResumed,
    RequestFailed,
    Sentence,
    SessionStarted,
    SpeechStarted,
    TurnDropped,
    TurnEnded,
    TurnFailed,
    UserEmotion,
    UserFeeling,
    VoiceSet,
    WordsSpoken,
)
from oviya.client.loudspeaker import FADE_S
from oviya.errors import OviyaError


@dataclass
class TurnRecord:
    """A turn of the user and its reply."""

    number: int
    turn_id: str = ""
    """Its name in the logs of the services."""
    transcript: FinalTranscript | None = None
    ended: TurnEnded | None = None
    user_emotion: UserEmotion | None = None
    user_feeling: UserFeeling | None = None
    sentences: list[Sentence] = field(default_factory=list[Sentence])
    chunks: list[Pcm] = field(default_factory=list[Pcm])
    sample_rate_hz: int = 0
    reply_duration_s: float | None = None
    interrupted: Interrupted | None = None
    dropped: TurnDropped | None = None
    """Set if what the user said needed no answer."""
    latency: Latency | None = None
    """As measured by the gateway."""
    first_audio_here_s: float | None = None
    """Time from sending the end of speech (for Speak: the request) to the arrival of the first audio."""
    error: OviyaError | None = None

    @property
    def reply(self) -> Pcm:
        """Samples of the reply, as far as it was heard, shape (samples,)."""
        return np.concatenate([np.zeros(0, np.float32), *self.chunks])

    @property
    def reply_text(self) -> str:
        """The sentences of the reply as one text; if it was interrupted, the words that were heard."""
        if self.interrupted is not None:
            return self.interrupted.heard_text
        return " ".join(sentence.text for sentence in self.sentences)

    @property
    def closed(self) -> bool:
        """Whether the turn has no further events."""
        ends = (self.reply_duration_s, self.error, self.interrupted, self.dropped)
        return any(end is not None for end in ends)

    @property
    def latencies(self) -> dict[str, float | None]:
        """When each stage was reached, in seconds after the end of speech; None: not reached."""
        stages = asdict(self.latency or Latency()) | {"first_audio_here_s": self.first_audio_here_s}
        return {stage.removesuffix("_s"): time for stage, time in stages.items()}

    def add(self, event: ConverseEvent, elapsed_s: float) -> None:
        """Adds an event of this turn that came `elapsed_s` after the first audio was sent."""
        self.turn_id = event.turn_id or self.turn_id
        match event:
            case FinalTranscript():
                self.transcript = event
            case TurnEnded():
                self.ended = event
            case TurnDropped():
                self.dropped = event
            case UserEmotion():
                self.user_emotion = event
            case UserFeeling():
                self.user_feeling = event
            case TurnFailed():
                self.error = event.error
            case _:
                self._add_reply(event, elapsed_s)

    def _add_reply(self, event: ConverseEvent, elapsed_s: float) -> None:
        match event:
            case Sentence():  # a resumed reply announces sentences again
                self.sentences = [each for each in self.sentences if each.index != event.index] + [event]
            case AudioChunk():
                if not self.chunks and self.ended is not None:
                    self.first_audio_here_s = elapsed_s - self.ended.speech_end_s
                self.chunks.append(event.samples)
                self.sample_rate_hz = event.sample_rate_hz
            case ReplyPaused() | ReplyResumed():
                self._cut(event.position_s)
            case Interrupted():
                self.interrupted = event
                self._cut(event.position_s)
            case ReplyEnded():
                self.reply_duration_s, self.latency = event.duration_s, event.latency
            case _:
                pass

    def _cut(self, position_s: float) -> None:
        """Drops the reply's sound from `position_s` on, as a caller that plays it does."""
        kept = self.reply[: round(position_s * self.sample_rate_hz)]
        self.chunks = [fade_out(kept, round(FADE_S * self.sample_rate_hz))]


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
            case Degraded():
                self.degraded.append(event)
            case SpeechStarted() | PartialTranscript() | WordsSpoken() | VoiceSet() | RequestFailed():
                pass
            case _:
                self.turn(event.turn).add(event, elapsed_s)
