"""The user's spoken turns, from what speech-to-text recognizes to the queue of answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from oviya.durations import seconds
from oviya.errors import OviyaError
from oviya.mesh.background import background_task
from oviya.mesh.turn_id import turn_scope
from oviya.status import detail_of
from oviya.tasks import cancel_and_wait
from oviya.v1 import common_pb2, conversation_pb2, stt_pb2
from services.gateway import metrics
from services.gateway.conversation.answers import Answers
from services.gateway.conversation.lifetime import Lifetime
from services.gateway.conversation.session_events import SessionEvents
from services.gateway.settings import GatewaySettings
from services.gateway.turn.overlap import Words
from services.gateway.turn.silence_prompt import SilencePrompt
from services.gateway.turn.turn_handler import TurnHandler
from services.gateway.turn.turn_taking import TurnTaking
from services.gateway.turn.utterance import Utterance
from services.gateway.upstream.clients import Mesh
from services.gateway.upstream.readiness import Readiness
from services.gateway.voice.segment import FALLBACK
from services.gateway.voice.speech_output import SpeechOutput
from services.gateway.voice.user_sound import UserSound


class SpokenTurns:
    """Follows the speech of one session; an `SttListener`.

    Attributes:
        has_spoken: whether the user has said words that were a turn.
        sound_since: returns the session's sound from a position in seconds on; to be set before any event.
    """

    def __init__(
        self,
        *,
        mesh: Mesh,
        readiness: Readiness,
        settings: GatewaySettings,
        audio_format: common_pb2.AudioFormat,
        output: SpeechOutput,
        events: SessionEvents,
        handler: TurnHandler,
        taking: TurnTaking,
        answers: Answers,
        silence: SilencePrompt,
        lifetime: Lifetime,
    ) -> None:
        self._settings, self._output, self._events = settings, output, events
        self._handler, self._taking, self._answers = handler, taking, answers
        self._silence, self._lifetime = silence, lifetime
        self._sound = UserSound(mesh, readiness, settings, audio_format, self._on_sound_unavailable)
        self._adding_sound: set[asyncio.Task[None]] = set()
        self.has_spoken = False
        self.sound_since: Callable[[float], bytes] = lambda start_s: b""

    def push(self, pcm: bytes) -> None:
        """Adds the caller's sound, for the voice's context."""
        self._sound.push(pcm)

    async def close(self) -> None:
        """Ends what still runs."""
        await cancel_and_wait(*self._adding_sound)
        await self._sound.close()

    async def _add_sound(self, utterance: Utterance) -> None:
        """Adds the sound of a spoken turn to the voice's context."""
        frames = await self._sound.finish(utterance.turn, utterance.speech_s)
        if frames is not None:
            self._output.context.add_user_sound(utterance.turn, frames)

    async def _on_sound_unavailable(self, problem: str) -> None:
        degraded = conversation_pb2.Degraded(service="mimi", message=problem)
        await self._events.put_degraded(self._events.turns, degraded)

    # --- SttListener --------------------------------------------------------------------------------------------------

    def new_turn(self) -> int:
        return self._events.new_turn()

    async def on_speech_started(self, turn: int, started: stt_pb2.SpeechStarted) -> None:
        if self._output.options.voice != FALLBACK:
            self._sound.begin(turn, self.sound_since(seconds(started.start)))
        self._lifetime.note_activity()
        self._silence.turn_began()
        await self._taking.speech_started(turn)
        await self._events.put(turn, "speech_started", started)

    async def on_partial(self, turn: int, partial: stt_pb2.Transcript) -> None:
        self._lifetime.note_activity()
        await self._taking.words(Words.of(partial))
        await self._events.put(turn, "partial", partial)

    async def on_speech_stopped(self) -> None:
        await self._taking.speech_stopped()

    async def on_eager_end_of_turn(self, turn: int, likely: stt_pb2.Transcript) -> None:
        """Starts a preemptive reply, unless another turn is being answered: the brain needs that reply first."""
        await self._taking.words(Words.of(likely))
        if self._settings.early_reply and self._handler.reply.turn is None and self._answers.are_idle:
            if (frames := self._sound.so_far(turn)) is not None:
                self._output.context.add_user_sound(turn, frames)
            with turn_scope(self._events.turn_id(turn)):
                await self._handler.start_preemptive_reply(turn, likely.text, likely.language)

    async def on_turn_resumed(self) -> None:
        await self._handler.cancel_preemptive_reply()
        await self._taking.speech_resumed()

    async def on_turn_ended(self, final: stt_pb2.Transcript, ended: stt_pb2.TurnEnded, utterance: Utterance) -> None:
        adding = background_task("user's sound", self._add_sound(utterance))
        self._adding_sound.add(adding)
        adding.add_done_callback(self._adding_sound.discard)
        self._lifetime.note_activity()
        answer = await self._taking.speech_ended(utterance.turn, Words.of(final))
        if answer and any(map(str.isalnum, final.text)):  # else a noise, or the echo of the question after a silence
            self.has_spoken = True
            self._silence.user_active()
        if answer:
            await self._events.put(utterance.turn, "final", final)
            await self._events.put(utterance.turn, "turn_ended", ended)
            await self._answers.add(utterance)
        else:
            adding.cancel()
            self._sound.drop(utterance.turn)
            await self._handler.cancel_preemptive_reply()
        self._silence.turn_over()

    async def on_turn_failed(self, turn: int, error: OviyaError) -> None:
        self._sound.drop(turn)
        metrics.TURNS.labels("speech", "failed").inc()
        await self._handler.cancel_preemptive_reply()
        await self._taking.speech_failed()
        self._silence.turn_over()
        await self._events.put_of_turn(turn, detail_of(error))

    async def on_stt_unavailable(self, error: OviyaError) -> None:
        message = f"{error}; speech is buffered for a while, and typed turns work"
        await self._events.put_degraded(self._events.turns, conversation_pb2.Degraded(service="stt", message=message))
