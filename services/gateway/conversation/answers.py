"""The turns of one session that wait for an answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from oviya.errors import Busy
from oviya.mesh.turn_id import turn_scope
from oviya.status import detail_of
from services.gateway import metrics
from services.gateway.conversation.lifetime import Lifetime
from services.gateway.conversation.session_events import SessionEvents
from services.gateway.settings import GatewaySettings
from services.gateway.turn.silence_prompt import SilencePrompt
from services.gateway.turn.turn_handler import TurnHandler
from services.gateway.turn.turn_taking import TurnTaking
from services.gateway.turn.utterance import Utterance
from services.gateway.upstream.readiness import Readiness

BUSY_RETRY_S = 5.0
"""Seconds after which to retry a turn that was refused because too many wait: about the length of a reply."""


@dataclass(frozen=True)
class _AskAfterSilence:
    """Stands for an utterance: the user has said nothing for long."""


@dataclass
class Answers:
    """Answers turns one after the other."""

    readiness: Readiness
    settings: GatewaySettings
    events: SessionEvents
    handler: TurnHandler
    taking: TurnTaking
    silence: SilencePrompt
    lifetime: Lifetime

    def __post_init__(self) -> None:
        self._waiting: asyncio.Queue[Utterance | _AskAfterSilence | None] = asyncio.Queue()

    @property
    def are_idle(self) -> bool:
        """Whether no turn waits."""
        return self._waiting.empty()

    async def add(self, utterance: Utterance) -> None:
        """Adds a turn; fails it if too many wait."""
        if self._waiting.qsize() >= self.settings.max_waiting_turns:
            busy = Busy(f"{self._waiting.qsize()} turns are waiting to be answered", retry_after_s=BUSY_RETRY_S)
            metrics.TURNS.labels("text" if utterance.typed else "speech", "failed").inc()
            await self.events.put_of_turn(utterance.turn, detail_of(busy))
            return
        self._waiting.put_nowait(utterance)

    def ask_after_silence(self) -> None:
        """Asks the user, who has said nothing for long, unless a turn waits."""
        if self.settings.silence_prompt and self._waiting.empty():
            self._waiting.put_nowait(_AskAfterSilence())

    def finish(self) -> None:
        """Lets `run` return after the turns that wait."""
        self._waiting.put_nowait(None)

    async def run(self) -> None:
        """Answers until `finish`."""
        while (utterance := await self._waiting.get()) is not None:
            self.silence.turn_began()
            with self.lifetime.turn(), self.taking.replying():
                self.events.still_degraded({service for service, _ in self.readiness.degraded()})
                if isinstance(utterance, _AskAfterSilence):
                    turn = self.events.new_turn()
                    with turn_scope(self.events.turn_id(turn)):
                        await self.handler.ask_after_silence(turn, self.settings.silence_prompt)
                else:
                    with turn_scope(self.events.turn_id(utterance.turn)):
                        await self.handler.respond(utterance)
            self.silence.turn_over()
