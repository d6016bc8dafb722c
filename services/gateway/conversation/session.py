"""One session: the caller's requests in, the conversation's events out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import structlog

from oviya.audio.pcm import decode_pcm, encode_pcm
from oviya.durations import seconds
from oviya.errors import Busy, InvalidInput, OviyaError, Unavailable
from oviya.mesh.background import background_task
from oviya.mesh.turn_id import turn_scope
from oviya.status import detail_of
from oviya.tasks import cancel_and_wait
from oviya.text.sentences import is_speakable
from oviya.v1 import conversation_pb2, stt_pb2
from services.gateway import metrics
from services.gateway.conversation.event_queue import EventQueue, first_failure
from services.gateway.conversation.lifetime import Lifetime
from services.gateway.conversation.requests import SessionConfig, check_text, nothing_to_say
from services.gateway.conversation.session_control import SessionControl
from services.gateway.conversation.session_events import SessionEvents
from services.gateway.echo.echo_canceller import EchoCanceller
from services.gateway.echo.webrtc_apm import find_problem
from services.gateway.memory.memory import Memory
from services.gateway.memory.session_repository import SessionRepository
from services.gateway.own_voice.own_voices import OwnVoices
from services.gateway.rate import TokenBucket
from services.gateway.settings import GatewaySettings
from services.gateway.turn.silence_prompt import SilencePrompt
from services.gateway.turn.stt_stream import SttStream
from services.gateway.turn.turn_handler import TurnEvent, TurnHandler
from services.gateway.turn.turn_taking import TurnTaking
from services.gateway.turn.utterance import Utterance
from services.gateway.upstream.clients import Mesh
from services.gateway.upstream.readiness import Readiness
from services.gateway.voice.segment import FALLBACK, ReplyAudio
from services.gateway.voice.speech_output import SpeechOutput
from services.gateway.voice.user_sound import UserSound

log = structlog.get_logger()

BUSY_RETRY_S = 5.0
"""Seconds after which to retry a turn that was refused because too many wait: about the length of a reply."""

AUDIO_BURST_S = 5.0
"""Seconds at the highest speed whose sound is accepted at once, e.g. what a caller buffered while it was offline."""


@dataclass(frozen=True)
class _AskAfterSilence:
    """Stands for an utterance: the user has said nothing for long."""


@dataclass
class Session:
    """Holds one conversation.

    Speech during a reply is recognized at once; `TurnTaking` decides whether it interrupts the reply.  Typed turns wait
    until the reply is over.

    Args:
        voices: finds the voices that the caller chooses.
        lifetime: decides when the session must end; the turns that wait are answered first.
        client: the client that clips of voices count for; None: they count only towards the total.
    """

    mesh: Mesh
    readiness: Readiness
    settings: GatewaySettings
    repository: SessionRepository
    voices: OwnVoices
    output: SpeechOutput
    config: SessionConfig
    events: EventQueue[conversation_pb2.ConverseResponse]
    lifetime: Lifetime
    client: str | None = None

    def __post_init__(self) -> None:
        settings, config = self.settings, self.config
        self._stt = SttStream(self.mesh, settings, config.input, config.session_id, self)
        self._memory = Memory(
            config.session_id,
            self.repository,
            self.mesh.summarize,
            verbatim=settings.history_turns,
            token=config.resume_token,
            fresh=config.fresh,
        )
        self._events = SessionEvents(self.events)
        self._turn_handler = TurnHandler(self.mesh, self.output, settings, self._memory, self._send_turn_event)
        reply = self._turn_handler.reply
        self._turn_taking = TurnTaking(reply, self._events.put, config.stop_phrases)
        self._silence = SilencePrompt(settings.silence_prompt_s, self._on_long_silence)
        self._control = SessionControl(
            self.mesh, self.voices, self.output, reply, self._turn_taking, self._events.put_answer, self.client
        )
        self._echo: EchoCanceller | None = None
        if config.cancel_echo and settings.echo_cancellation and not find_problem():
            self.output.listener = self._echo = EchoCanceller(config.input.sample_rate_hz)
        self._user_sound = UserSound(self.mesh, self.readiness, settings, config.input, self._on_sound_unavailable)
        self._adding_sound: set[asyncio.Task[None]] = set()
        self._waiting: asyncio.Queue[Utterance | _AskAfterSilence | None] = asyncio.Queue()
        self._has_spoken = False
        self._sound = TokenBucket(settings.max_audio_speed, settings.max_audio_speed * AUDIO_BURST_S)

    async def run(self, requests: AsyncIterator[conversation_pb2.ConverseRequest]) -> None:
        """Converses until the requests end, a limit is reached or the gateway stops.

        Raises:
            InvalidInput: a request is not valid.
            Timeout: the session reached its longest length, was idle for too long, or its caller does not read events.
            NotReady: the gateway stops.
            PermissionDenied: the session belongs to another caller.
        """
        try:
            await self._begin()
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(self._stt.run())
                answering = group.create_task(self._answer())
                watching = [group.create_task(watch.run()) for watch in (self._turn_taking, self._silence)]
                ending = await self._listen(requests)
                self._stt.finish()
                await listening
                self._waiting.put_nowait(None)
                await answering
                await cancel_and_wait(*watching)
        except BaseExceptionGroup as failures:
            raise first_failure(failures) from failures
        finally:
            await self._control.close()
            await cancel_and_wait(*self._adding_sound)
            await self._user_sound.close()
            await self._turn_handler.cancel_preemptive_reply()
            await self._memory.close()
        if ending is not None:
            raise ending

    async def _begin(self) -> None:
        away: Unavailable | None = None
        try:
            await self._memory.load()
        except Unavailable as error:
            away = error
        started = conversation_pb2.SessionStarted(
            session_id=self.config.session_id,
            output=self.config.output,
            resume_token=self._memory.resume_token,
        )
        await self._events.put(0, "session_started", started)
        if away is not None:
            message = f"{away}; the session begins without its earlier turns"
            await self._events.put_degraded(0, conversation_pb2.Degraded(service=away.service, message=message))
        for service, message in self.readiness.degraded():
            await self._events.put_degraded(0, conversation_pb2.Degraded(service=service, message=message))

    async def _listen(self, requests: AsyncIterator[conversation_pb2.ConverseRequest]) -> OviyaError | None:
        """Reads requests; returns None at their end, or the error that ends the session before."""
        self.lifetime.start()
        reading = asyncio.create_task(self._read(requests))
        ending = asyncio.create_task(self.lifetime.wait())
        try:
            await asyncio.wait({reading, ending}, return_when=asyncio.FIRST_COMPLETED)
            return reading.result() if reading.done() else ending.result()
        finally:
            await cancel_and_wait(reading, ending)

    async def _read(self, requests: AsyncIterator[conversation_pb2.ConverseRequest]) -> None:
        encoding, max_bytes = self.config.input.encoding, self.settings.max_audio_message_bytes
        async for request in requests:
            match request.WhichOneof("request"):
                case "audio":
                    pcm, samples = request.audio, decode_pcm(request.audio, encoding, max_bytes=max_bytes)
                    if self._echo is not None:
                        pcm = encode_pcm(self._echo.clean(samples, asyncio.get_running_loop().time()), encoding)
                    self._stt.push(pcm)
                    self._user_sound.push(pcm)
                    await self._pace(len(samples) / self.config.input.sample_rate_hz)
                case "text":
                    await self._typed(request.text)
                case "end_turn":
                    self._stt.end_turn()
                case "config":
                    raise InvalidInput("config", "a second one", "only the first message may be the configuration")
                case None:
                    raise InvalidInput("request", "", "must carry audio, text or another request")
                case _:
                    await self._control.follow(request)

    async def _pace(self, seconds: float) -> None:
        """Waits if sound arrives too fast.  Nothing is read meanwhile, so gRPC's flow control stops the caller."""
        if (wait_s := self._sound.reserve(seconds)) > 0:
            metrics.PACED_SOUND.inc(wait_s)
            await asyncio.sleep(wait_s)

    async def _typed(self, text: str) -> None:
        """Queues a typed turn.  If it is not valid, only the turn fails, not the session."""
        turn, ended_at = self.new_turn(), asyncio.get_running_loop().time()
        self.lifetime.note_activity()
        self._silence.user_active()
        try:
            check_text(text, "text", self.settings.max_text_chars)
            if not await asyncio.to_thread(is_speakable, text):
                raise nothing_to_say("text", text)
        except InvalidInput as error:
            metrics.TURNS.labels("text", "failed").inc()
            await self._send_turn_event(turn, detail_of(error))
            return
        await self._enqueue(Utterance(turn, text, True, ended_at=ended_at))

    async def _answer(self) -> None:
        """Answers utterances one after the other."""
        while (utterance := await self._waiting.get()) is not None:
            self._silence.turn_began()
            with self.lifetime.turn(), self._turn_taking.replying():
                self._events.still_degraded({service for service, _ in self.readiness.degraded()})
                if isinstance(utterance, _AskAfterSilence):
                    turn = self.new_turn()
                    with turn_scope(self._events.turn_id(turn)):
                        await self._turn_handler.ask_after_silence(turn, self.settings.silence_prompt)
                else:
                    with turn_scope(self._events.turn_id(utterance.turn)):
                        await self._turn_handler.respond(utterance)
            self._silence.turn_over()

    def _on_long_silence(self) -> None:
        if self._has_spoken and self.settings.silence_prompt and self._waiting.empty():
            self._waiting.put_nowait(_AskAfterSilence())

    async def _send_turn_event(self, turn: int, event: TurnEvent) -> None:
        if isinstance(event, ReplyAudio) and turn == self._turn_handler.reply.turn:
            self._turn_taking.reply_audible()
        await self._events.put_of_turn(turn, event)

    async def _add_sound(self, utterance: Utterance) -> None:
        """Adds the sound of a spoken turn to the voice's context."""
        frames = await self._user_sound.finish(utterance.turn, utterance.speech_s)
        if frames is not None:
            self.output.context.add_user_sound(utterance.turn, frames)

    async def _on_sound_unavailable(self, problem: str) -> None:
        degraded = conversation_pb2.Degraded(service="mimi", message=problem)
        await self._events.put_degraded(self._events.turns, degraded)

    async def _enqueue(self, utterance: Utterance) -> None:
        """Queues an utterance; fails its turn if too many wait."""
        if self._waiting.qsize() >= self.settings.max_waiting_turns:
            busy = Busy(f"{self._waiting.qsize()} turns are waiting to be answered", retry_after_s=BUSY_RETRY_S)
            metrics.TURNS.labels("text" if utterance.typed else "speech", "failed").inc()
            await self._send_turn_event(utterance.turn, detail_of(busy))
            return
        self._waiting.put_nowait(utterance)

    # --- SttListener --------------------------------------------------------------------------------------------------

    def new_turn(self) -> int:
        return self._events.new_turn()

    async def on_speech_started(self, turn: int, started: stt_pb2.SpeechStarted) -> None:
        if self.output.options.voice != FALLBACK:
            self._user_sound.begin(turn, self._stt.sound_since(seconds(started.start)))
        self.lifetime.note_activity()
        self._silence.user_active()
        self._silence.turn_began()
        await self._turn_taking.speech_started(turn)
        await self._events.put(turn, "speech_started", started)

    async def on_partial(self, turn: int, partial: stt_pb2.Transcript) -> None:
        self.lifetime.note_activity()
        await self._turn_taking.words(partial.text)
        await self._events.put(turn, "partial", partial)

    async def on_speech_stopped(self) -> None:
        await self._turn_taking.speech_stopped()

    async def on_eager_end_of_turn(self, turn: int, text: str, language: str) -> None:
        """Starts a preemptive reply, unless another turn is being answered: the brain needs that reply first."""
        await self._turn_taking.words(text)
        if self.settings.early_reply and self._turn_handler.reply.turn is None and self._waiting.empty():
            if (frames := self._user_sound.so_far(turn)) is not None:
                self.output.context.add_user_sound(turn, frames)
            with turn_scope(self._events.turn_id(turn)):
                await self._turn_handler.start_preemptive_reply(turn, text, language)

    async def on_turn_resumed(self) -> None:
        await self._turn_handler.cancel_preemptive_reply()
        await self._turn_taking.speech_resumed()

    async def on_turn_ended(self, final: stt_pb2.Transcript, ended: stt_pb2.TurnEnded, utterance: Utterance) -> None:
        adding = background_task("user's sound", self._add_sound(utterance))
        self._adding_sound.add(adding)
        adding.add_done_callback(self._adding_sound.discard)
        self.lifetime.note_activity()
        self._has_spoken = True
        answer = await self._turn_taking.speech_ended(utterance.turn, final.text)
        if answer:
            await self._events.put(utterance.turn, "final", final)
            await self._events.put(utterance.turn, "turn_ended", ended)
            await self._enqueue(utterance)
        else:
            adding.cancel()
            self._user_sound.drop(utterance.turn)
            await self._turn_handler.cancel_preemptive_reply()
        self._silence.turn_over()

    async def on_turn_failed(self, turn: int, error: OviyaError) -> None:
        self._user_sound.drop(turn)
        metrics.TURNS.labels("speech", "failed").inc()
        await self._turn_taking.speech_failed()
        self._silence.turn_over()
        await self._send_turn_event(turn, detail_of(error))

    async def on_stt_unavailable(self, error: OviyaError) -> None:
        message = f"{error}; speech is buffered for a while, and typed turns work"
        await self._events.put_degraded(self._events.turns, conversation_pb2.Degraded(service="stt", message=message))
