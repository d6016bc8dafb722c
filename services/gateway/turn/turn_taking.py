"""Takes turns with the user: does to the running reply what the turn machine decides, and reports it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import structlog

from oviya.durations import duration
from oviya.errors import OviyaError
from oviya.v1 import conversation_pb2
from services.gateway import metrics
from services.gateway.turn.overlap import Overlap, OverlapJudge, Words
from services.gateway.turn.running_reply import RunningReply
from services.gateway.turn.turn_machine import Action, Answer, Drop, Pause, Resume, Stop, TurnMachine

log = structlog.get_logger()

Send = Callable[[int, str, Any], Awaitable[None]]
"""Takes a turn's number, and the name and value of an event."""


class NoReply(OviyaError):
    """There is no reply to interrupt."""


class TurnTaking:
    """The turns of one session.

    Args:
        reply: the running reply.
        send: takes the events.
        stop_phrases: the session's own phrases that stop a reply.
    """

    def __init__(self, reply: RunningReply, send: Send, stop_phrases: Sequence[str] = ()) -> None:
        self._reply, self._send = reply, send
        self._overlap = OverlapJudge(stop_phrases)
        self._machine = TurnMachine(self._judge, reply.is_asking)
        self._lock = asyncio.Lock()  # actions are done in the order in which they were decided
        self._changed = asyncio.Event()

    @contextmanager
    def replying(self) -> Iterator[None]:
        """Marks a reply as being given.  Where the user is speaking, it waits."""
        # Its turn has not begun, so there is nothing to report.
        self._reply.is_paused = any(isinstance(action, Pause) for action in self._machine.reply_began())
        self._changed.set()
        try:
            yield
        finally:
            self._machine.reply_over()
            self._changed.set()

    def reply_audible(self) -> None:
        """The running reply's first sound was sent."""
        self._machine.reply_audible()

    async def speech_started(self, turn: int) -> None:
        """The user began to speak."""
        self._reply.mark_overlap()
        await self._follow(lambda: self._machine.speech_started(turn, _now()))

    async def speech_stopped(self) -> None:
        """The user fell silent and may go on."""
        await self._follow(lambda: self._machine.speech_stopped(_now()))

    async def speech_resumed(self) -> None:
        """The user went on."""
        await self._follow(lambda: self._machine.speech_resumed(_now()))

    async def words(self, words: Words) -> None:
        """What the user said so far."""
        await self._follow(lambda: self._machine.words(words))

    async def speech_ended(self, turn: int, words: Words) -> bool:
        """The user's turn is over; returns whether it is to be answered.  If not, that is reported."""
        actions = await self._follow(lambda: self._machine.speech_ended(turn, words))
        for action in actions:
            if isinstance(action, Drop):
                reason = conversation_pb2.DropReason.Name(action.reason)
                metrics.DROPPED_TURNS.labels(reason.removeprefix("DROP_REASON_").lower()).inc()
                metrics.TURNS.labels("speech", "dropped").inc()
                dropped = conversation_pb2.TurnDropped(reason=action.reason, text=words.text)
                await self._send(turn, "turn_dropped", dropped)
        return any(isinstance(action, Answer) for action in actions)

    async def speech_failed(self) -> None:
        """The user's words cannot be recognized."""
        await self._follow(self._machine.speech_failed)

    async def interrupt(self) -> None:
        """Stops the reply because the caller asks for it.

        Raises:
            NoReply: there is none.
        """
        if not await self._follow(self._machine.stop_requested):
            raise NoReply("there is no reply to interrupt", hint="it has ended, or its turn has not begun")

    async def run(self) -> None:
        """Lets a paused reply go on when the words that would stop it do not come in time."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._machine.deadline):
                    await self._changed.wait()
            await self._follow(lambda: self._machine.on_time(_now()))
            self._changed.clear()  # the deadline is read after it

    async def _follow(self, decide: Callable[[], list[Action]]) -> list[Action]:
        """Decides, and does what was decided before anything else is; returns the actions."""
        async with self._lock:
            state = self._machine.state
            actions = decide()
            if self._machine.state is not state:
                log.debug("turn", before=state.value, now=self._machine.state.value)
            for action in actions:
                await self._do(action)
        self._changed.set()
        return actions

    async def _do(self, action: Action) -> None:
        turn = self._reply.turn
        if turn is None:
            return
        match action:
            case Pause():
                if (position_s := self._reply.pause()) is not None:
                    paused = conversation_pb2.ReplyPaused(position=duration(position_s))
                    await self._send(turn, "reply_paused", paused)
            case Resume():
                if (position_s := self._reply.resume()) is not None:
                    metrics.PAUSES.labels("resumed").inc()
                    resumed = conversation_pb2.ReplyResumed(position=duration(position_s))
                    await self._send(turn, "reply_resumed", resumed)
            case Stop():
                if self._reply.is_paused:
                    metrics.PAUSES.labels("stopped").inc()
                await self._reply.stop(action.reason)
            case Answer() | Drop():  # done by the caller, after what the reply needs
                pass

    def _judge(self, words: Words) -> Overlap:
        return self._overlap.judge(words, self._reply.overlap_words())


def _now() -> float:
    return asyncio.get_running_loop().time()
