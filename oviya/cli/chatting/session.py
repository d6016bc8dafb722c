"""One conversation of `oviya chat`: joins the gateway, the sound device, the keyboard and the display."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from oviya.audio.device import SoundDevice
from oviya.cli.chatting.display import Display
from oviya.cli.chatting.line_editor import EndOfInput, Input, Line
from oviya.cli.chatting.open_turns import OpenTurns
from oviya.cli.conversation_record import ConversationRecord
from oviya.client import AudioChunk, Conversation, ConverseEvent, Loudspeaker
from oviya.errors import NotReady
from oviya.tasks import cancel_and_wait

TICK_S = 0.1
"""How often playback is reported."""
CLOSING_SILENCE_S = 1.0
"""Silence in seconds after a recording in which no turn may begin: the end of a last word is heard by it."""
LONGEST_SILENCE_S = 10.0
"""Longest silence in seconds after a recording.  If a turn is still open then, the end of the stream ends it."""


@dataclass(frozen=True, slots=True)
class Options:
    """How the chat is held.

    `listening`: the microphone is used; `push_to_talk`: only while the user says so; `terminal`: keys are read one by
    one, and a typed line interrupts the reply, while the lines of a pipe wait for their turn.
    """

    listening: bool
    push_to_talk: bool
    terminal: bool


class ChatSession:
    """One conversation.

    Args:
        conversation: it, opened at the rates of the device.
        device: microphone and loudspeaker.
        display: shows it.
        options: see `Options`.
        on_event: called with each event, after it was shown.
    """

    def __init__(
        self,
        conversation: Conversation,
        device: SoundDevice,
        display: Display,
        options: Options,
        on_event: Callable[[ConverseEvent], None] = lambda event: None,
    ) -> None:
        self.record = ConversationRecord()
        """What was said, without its sound."""
        self.loudspeaker = Loudspeaker(device.output_rate_hz)
        self._conversation = conversation
        self._device = device
        self._display = display
        self._options = options
        self._on_event = on_event
        self._turns = OpenTurns()
        self._inputs: asyncio.Queue[Input] = asyncio.Queue()
        self._talking = not options.push_to_talk
        self._input_over = False
        self._finished = False
        self._last_event_at = self._started_at = time.monotonic()

    @property
    def all_over(self) -> bool:
        """Whether all turns have been answered."""
        return self._turns.all_over

    def take(self, typed: Input) -> None:
        """Takes what was typed."""
        self._inputs.put_nowait(typed)

    async def run(self) -> None:
        """Holds the conversation until it is over.  Cancelling it hangs up.

        Raises:
            NoSoundDevice: the device failed.
            OviyaError: the gateway refused the conversation or failed.
        """
        with self._device.running(self.loudspeaker.read):
            self.loudspeaker.latency_s = self._device.latency_s
            self._started_at = time.monotonic()
            self._show_status()
            tasks = [asyncio.create_task(part()) for part in (self._listen, self._obey, self._tick)]
            reader = asyncio.create_task(self._follow(tasks))
            try:
                await asyncio.wait([reader, *tasks], return_when=asyncio.FIRST_EXCEPTION)
            finally:
                await cancel_and_wait(*tasks, reader)
            for task in (reader, *tasks):
                if not task.cancelled():
                    task.result()

    async def _follow(self, tasks: list[asyncio.Task[None]]) -> None:
        async for event in self._conversation:
            self._last_event_at = time.monotonic()
            self.loudspeaker.handle(event)
            self._turns.follow(event)
            self._display.handle(event)
            self._on_event(event)
            self._record(event)
        for task in tasks:
            task.cancel()

    def _record(self, event: ConverseEvent) -> None:
        if isinstance(event, AudioChunk):  # the sound of hours needs too much memory
            event = replace(event, samples=np.zeros(0, np.float32))
        self.record.add(event, time.monotonic() - self._started_at)

    async def _listen(self) -> None:
        """Sends what the microphone hears."""
        if not self._options.listening:
            return
        async for block in self._device:
            if self._finished:
                return
            if self._talking:
                await self._send(self._conversation.send_audio(block))

    async def _obey(self) -> None:
        """Does what was typed."""
        while not self._finished:
            match await self._inputs.get():
                case Line() as typed:
                    if self._options.terminal:
                        await self._interrupt()
                    self._display.typed(typed.text)
                    self._turns.text_sent()
                    await self._send(self._conversation.send_text(typed.text))
                case EndOfInput():
                    self._input_over = self._options.terminal or not self._options.listening
                case _ if self._options.push_to_talk:
                    self._talking = not self._talking
                    await (self._interrupt() if self._talking else self._send(self._conversation.end_turn()))
                    self._show_status()
                case _:
                    pass

    async def _interrupt(self) -> None:
        """Stops a reply that is being spoken."""
        if (turn := self._turns.speaking) is not None:
            self.loudspeaker.drop(turn)  # at once, before the gateway answers
            await self._send(self._conversation.interrupt())

    async def _tick(self) -> None:
        """Reports what was played, and ends the conversation when there is nothing more to come."""
        recording_over_at: float | None = None
        while not self._finished:
            if report := self.loudspeaker.report():
                await self._send(self._conversation.played(*report))
            if self._options.listening and self._device.recording_over and recording_over_at is None:
                recording_over_at = time.monotonic()
            if self._nothing_more(recording_over_at):
                self._finished = True
                await self._send(self._conversation.finish())
            await asyncio.sleep(TICK_S)

    def _nothing_more(self, recording_over_at: float | None) -> bool:
        if self.loudspeaker.buffered_s:
            return False
        if self._turns.all_over and self._input_over:
            return True
        if recording_over_at is None:
            return False
        quiet_s = time.monotonic() - max(recording_over_at, self._last_event_at)
        return quiet_s >= (CLOSING_SILENCE_S if self._turns.all_over else LONGEST_SILENCE_S)

    async def _send(self, request: Awaitable[None]) -> None:
        with suppress(NotReady):  # the conversation is over, which ends its reader
            await request

    def _show_status(self) -> None:
        if not self._options.listening:
            doing = "type something"
        elif self._options.push_to_talk:
            doing = "space ends your turn" if self._talking else "space to talk, or type"
        else:
            doing = "listening; talk or type"
        self._display.idle = f"{doing}; Ctrl-C hangs up"
        self._display.refresh()
