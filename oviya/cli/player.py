"""A recording as a caller: it is sent through Converse at the pace of speech, and what comes back is kept.

Also the measuring part of `benchmarks/conversation.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from oviya.audio.pcm import Pcm
from oviya.client import (
    AudioChunk,
    Conversation,
    ConverseEvent,
    Degraded,
    FinalTranscript,
    Latency,
    ReplyEnded,
    Sentence,
    SessionStarted,
    SpeechStarted,
    TurnEnded,
    TurnFailed,
    UserEmotion,
    UserFeeling,
)
from oviya.client.channel import STALL_TIMEOUT_S
from oviya.errors import NotReady, OviyaError, Timeout

CHUNK_S = 0.020
"""What a microphone hands over at a time."""
CLOSING_SILENCE_S = 1.0
"""Sent after the recording in any case: a word that ends with the file is found by the silence after it."""
LONGEST_SILENCE_S = 10.0
"""Sent at most while a turn does not end by itself; then the stream's end ends it."""


@dataclass
class Turn:
    """One turn of the recorded speaker and its answer."""

    number: int
    transcript: FinalTranscript | None = None
    ended: TurnEnded | None = None
    user_emotion: UserEmotion | None = None
    user_feeling: UserFeeling | None = None
    sentences: list[Sentence] = field(default_factory=list[Sentence])
    chunks: list[Pcm] = field(default_factory=list[Pcm])
    reply_duration_s: float | None = None
    latency: Latency | None = None
    """As the gateway measured it."""
    first_audio_here_s: float | None = None
    """From the moment at which the end of speech was sent to the first audio's arrival here."""
    error: OviyaError | None = None

    @property
    def reply(self) -> Pcm:
        """The reply's samples, shape (samples,)."""
        return np.concatenate(self.chunks) if self.chunks else np.zeros(0, np.float32)

    @property
    def closed(self) -> bool:
        """Whether nothing more belongs to it."""
        return self.reply_duration_s is not None or self.error is not None


@dataclass
class Played:
    """A recording that was answered."""

    session_id: str = ""
    resume_token: str = field(default="", repr=False)
    """The session's secret; empty: the gateway keeps no sessions."""
    sample_rate_hz: int = 0
    """Rate of the reply."""
    turns: dict[int, Turn] = field(default_factory=dict[int, Turn])
    degraded: list[Degraded] = field(default_factory=list[Degraded])

    @property
    def reply(self) -> Pcm:
        """All replies after each other, shape (samples,)."""
        return np.concatenate([np.zeros(0, np.float32), *(turn.reply for turn in self.turns.values())])

    def turn(self, number: int) -> Turn:
        """Returns the turn of that number, new where it was unknown."""
        return self.turns.setdefault(number, Turn(number))


async def play(
    conversation: Conversation,
    samples: Pcm,
    rate_hz: int,
    on_event: Callable[[ConverseEvent], None] = lambda event: None,
) -> Played:
    """Sends a recording and the silence after it, and returns what was answered.

    Args:
        conversation: an open one, whose input rate is `rate_hz`.
        samples: the recording, shape (samples,).
        rate_hz: its rate.
        on_event: called with each event as it arrives.

    Raises:
        OviyaError: the gateway refused or failed, or stopped answering.
    """
    played, microphone = Played(), _Microphone(conversation, samples, rate_hz)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None) as patience:
            sending = asyncio.create_task(microphone.run(patience))
            try:
                async for event in conversation:
                    _keep(event, played, microphone.started_at)
                    microphone.hear(event)
                    on_event(event)
                    if microphone.all_sent:
                        patience.reschedule(loop.time() + STALL_TIMEOUT_S)
            finally:
                sending.cancel()
                (failure,) = await asyncio.gather(sending, return_exceptions=True)
    except TimeoutError as error:
        raise Timeout(f"gateway: no answer for {STALL_TIMEOUT_S:g} s", hint="see the gateway's log") from error
    if isinstance(failure, Exception):
        raise failure
    if not microphone.all_sent:
        raise NotReady("the conversation was over before the recording was", hint="see the gateway's log")
    return played


class _Microphone:
    """Sends a recording as if it were spoken now."""

    def __init__(self, conversation: Conversation, samples: Pcm, rate_hz: int) -> None:
        self.started_at = time.monotonic()
        self.all_sent = False
        self._conversation = conversation
        self._samples = samples
        self._rate_hz = rate_hz
        self._turn_open = False

    def hear(self, event: ConverseEvent) -> None:
        """Follows whether a turn is open: silence goes on until it is over."""
        if isinstance(event, SpeechStarted):
            self._turn_open = True
        elif isinstance(event, TurnEnded):
            self._turn_open = False

    async def run(self, patience: asyncio.Timeout) -> None:
        """Sends each chunk at the moment at which a microphone would have finished recording it.

        Once all is sent, the gateway owes answers: `patience` begins.
        """
        size, rate_hz = round(self._rate_hz * CHUNK_S), self._rate_hz
        enough = len(self._samples) + CLOSING_SILENCE_S * rate_hz
        padded = np.concatenate([self._samples, np.zeros(round(rate_hz * LONGEST_SILENCE_S), np.float32)])
        try:
            for start in range(0, len(padded), size):
                chunk = padded[start : start + size]
                await asyncio.sleep(self.started_at + (start + len(chunk)) / rate_hz - time.monotonic())
                await self._conversation.send_audio(chunk)
                if start >= enough and not self._turn_open:
                    break
            self.all_sent = True
        finally:  # whatever happens, the gateway must not wait for more
            await self._conversation.finish()
        patience.reschedule(asyncio.get_running_loop().time() + STALL_TIMEOUT_S)


def _keep(event: ConverseEvent, played: Played, started_at: float) -> None:
    """Adds one event to what was answered."""
    match event:
        case SessionStarted():
            played.session_id, played.sample_rate_hz = event.session_id, event.sample_rate_hz
            played.resume_token = event.resume_token
        case FinalTranscript():
            played.turn(event.turn).transcript = event
        case TurnEnded():
            played.turn(event.turn).ended = event
        case UserEmotion():
            played.turn(event.turn).user_emotion = event
        case UserFeeling():
            played.turn(event.turn).user_feeling = event
        case Sentence():
            played.turn(event.turn).sentences.append(event)
        case AudioChunk():
            turn = played.turn(event.turn)
            if not turn.chunks and turn.ended is not None:
                turn.first_audio_here_s = time.monotonic() - started_at - turn.ended.speech_end_s
            turn.chunks.append(event.samples)
        case ReplyEnded():
            turn = played.turn(event.turn)
            turn.reply_duration_s, turn.latency = event.duration_s, event.latency
        case TurnFailed():
            played.turn(event.turn).error = event.error
        case Degraded():
            played.degraded.append(event)
        case _:
            pass
