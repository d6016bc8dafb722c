"""Plays a recording into a conversation at the pace of speech, and records the answer.

`benchmarks/conversation.py` measures with it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import numpy as np

from oviya.audio.pcm import Pcm
from oviya.cli.conversation_record import ConversationRecord
from oviya.client import Conversation, ConverseEvent, SpeechStarted, TurnDropped, TurnEnded
from oviya.client.channel import STALL_TIMEOUT_S
from oviya.errors import NotReady, Timeout

CHUNK_S = 0.020
"""Length of a microphone's chunks in seconds."""
CLOSING_SILENCE_S = 1.0
"""Silence in seconds that always follows the recording: the end of a last word is detected by the silence after it."""
LONGEST_SILENCE_S = 10.0
"""Longest silence in seconds after the recording.  If the turn is still open then, the end of the stream ends it."""


async def play_recording(
    conversation: Conversation,
    samples: Pcm,
    rate_hz: int,
    on_event: Callable[[ConverseEvent], None] = lambda event: None,
) -> ConversationRecord:
    """Sends a recording and silence after it, and returns the record of the conversation.

    Args:
        conversation: an open conversation, whose input rate is `rate_hz`.
        samples: the recording, shape (samples,).
        rate_hz: its rate.
        on_event: called with each event as it arrives.

    Raises:
        OviyaError: the gateway refused the call, failed or stopped answering.
    """
    record, microphone = ConversationRecord(), _Microphone(conversation, samples, rate_hz)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None) as patience:
            sending = asyncio.create_task(microphone.run(patience))
            try:
                async for event in conversation:
                    record.add(event, time.monotonic() - microphone.started_at)
                    microphone.follow_turn(event)
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
    return record


class _Microphone:
    """Sends a recording as a live microphone would."""

    def __init__(self, conversation: Conversation, samples: Pcm, rate_hz: int) -> None:
        self.started_at = time.monotonic()
        self.all_sent = False
        self._conversation = conversation
        self._samples = samples
        self._rate_hz = rate_hz
        self._turn_open = False

    def follow_turn(self, event: ConverseEvent) -> None:
        """Tracks whether a turn is open: silence is sent until it ends."""
        if isinstance(event, SpeechStarted):
            self._turn_open = True
        elif isinstance(event, TurnEnded | TurnDropped):
            self._turn_open = False

    async def run(self, patience: asyncio.Timeout) -> None:
        """Sends each chunk when a microphone would have recorded it, then starts the time-out `patience`."""
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
        finally:  # also after a failure, so that the gateway does not wait for more
            await self._conversation.finish()
        patience.reschedule(asyncio.get_running_loop().time() + STALL_TIMEOUT_S)
