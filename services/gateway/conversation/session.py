"""One session: the caller's requests in, the conversation's events out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import structlog

from oviya.audio.pcm import Pcm, decode_pcm, encode_pcm
from oviya.errors import InvalidInput, OviyaError, Unavailable
from oviya.status import detail_of
from oviya.tasks import cancel_and_wait
from oviya.text.sentences import is_speakable
from oviya.v1 import conversation_pb2
from services.gateway import metrics
from services.gateway.conversation.answers import Answers
from services.gateway.conversation.event_queue import EventQueue, first_failure
from services.gateway.conversation.lifetime import Lifetime
from services.gateway.conversation.quiet_joiner import QuietJoiner
from services.gateway.conversation.requests import SessionConfig, check_text, nothing_to_say
from services.gateway.conversation.session_control import SessionControl
from services.gateway.conversation.session_events import SessionEvents
from services.gateway.conversation.spoken_turns import SpokenTurns
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
from services.gateway.voice.segment import ReplyAudio
from services.gateway.voice.speech_output import SpeechOutput

log = structlog.get_logger()

AUDIO_BURST_S = 5.0
"""Seconds at the highest speed whose sound is accepted at once, e.g. what a caller buffered while it was offline."""


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
        self._answers = Answers(
            self.readiness,
            settings,
            self._events,
            self._turn_handler,
            self._turn_taking,
            self._silence,
            self.lifetime,
        )
        self._spoken = SpokenTurns(
            mesh=self.mesh,
            readiness=self.readiness,
            settings=settings,
            audio_format=config.input,
            output=self.output,
            events=self._events,
            handler=self._turn_handler,
            taking=self._turn_taking,
            answers=self._answers,
            silence=self._silence,
            lifetime=self.lifetime,
        )
        self._stt = SttStream(self.mesh, settings, config.input, config.session_id, self._spoken)
        self._spoken.sound_since = self._stt.sound_since
        self._control = SessionControl(
            self.mesh, self.voices, self.output, reply, self._turn_taking, self._events.put_answer, self.client
        )
        self._echo: EchoCanceller | None = None
        if config.cancel_echo and settings.echo_cancellation and not find_problem():
            self.output.listener = self._echo = EchoCanceller(config.input.sample_rate_hz)
        self._quiet = QuietJoiner(config.input.sample_rate_hz)
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
                answering = group.create_task(self._answers.run())
                watching = [group.create_task(watch.run()) for watch in (self._turn_taking, self._silence)]
                ending = await self._listen(requests)
                self._stt.finish()
                await listening
                self._answers.finish()
                await answering
                await cancel_and_wait(*watching)
        except BaseExceptionGroup as failures:
            raise first_failure(failures) from failures
        finally:
            await self._control.close()
            await self._spoken.close()
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
                    samples = decode_pcm(request.audio, encoding, max_bytes=max_bytes)
                    if (due := self._quiet.push(samples)) is not None:
                        self._hear(due)
                    await self._pace(len(samples) / self.config.input.sample_rate_hz)
                case "text":
                    await self._typed(request.text)
                case "end_turn":
                    self._hear(self._quiet.take())
                    self._stt.end_turn()
                case "config":
                    raise InvalidInput("config", "a second one", "only the first message may be the configuration")
                case None:
                    raise InvalidInput("request", "", "must carry audio, text or another request")
                case _:
                    await self._control.follow(request)
        self._hear(self._quiet.take())

    def _hear(self, samples: Pcm) -> None:
        """Passes the caller's sound on, without the echo of the reply."""
        if self._echo is not None:
            samples = self._echo.clean(samples, asyncio.get_running_loop().time())
        pcm = encode_pcm(samples, self.config.input.encoding)
        self._stt.push(pcm)
        self._spoken.push(pcm)

    async def _pace(self, seconds: float) -> None:
        """Waits if sound arrives too fast.  Nothing is read meanwhile, so gRPC's flow control stops the caller."""
        if (wait_s := self._sound.reserve(seconds)) > 0:
            metrics.PACED_SOUND.inc(wait_s)
            await asyncio.sleep(wait_s)

    async def _typed(self, text: str) -> None:
        """Queues a typed turn.  If it is not valid, only the turn fails, not the session."""
        turn, ended_at = self._events.new_turn(), asyncio.get_running_loop().time()
        self.lifetime.note_activity()
        self._silence.user_active()
        try:
            check_text(text, "text", self.settings.max_text_chars)
            if not await asyncio.to_thread(is_speakable, text):
                raise nothing_to_say("text", text)
        except InvalidInput as error:
            metrics.TURNS.labels("text", "failed").inc()
            await self._events.put_of_turn(turn, detail_of(error))
            return
        await self._answers.add(Utterance(turn, text, True, ended_at=ended_at))

    def _on_long_silence(self) -> None:
        if self._spoken.has_spoken:
            self._answers.ask_after_silence()

    async def _send_turn_event(self, turn: int, event: TurnEvent) -> None:
        if isinstance(event, ReplyAudio) and turn == self._turn_handler.reply.turn:
            self._turn_taking.reply_audible()
        await self._events.put_of_turn(turn, event)
