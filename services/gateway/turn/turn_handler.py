"""One turn: what the user said becomes a reply that is spoken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from functools import partial

import structlog

from oviya.durations import duration, seconds
from oviya.errors import OviyaError
from oviya.status import detail_of
from oviya.text.sentences import say_sentence, say_text
from oviya.v1 import brain_pb2, common_pb2, conversation_pb2, emotion_pb2
from services.gateway import metrics
from services.gateway.memory.memory import Memory
from services.gateway.settings import GatewaySettings
from services.gateway.turn.latency import latency
from services.gateway.turn.playback_truncation import heard_sentences
from services.gateway.turn.preemptive_reply import EarlyReply
from services.gateway.upstream.clients import Mesh
from services.gateway.upstream.readiness import CONSEQUENCES
from services.gateway.voice.speaker import Event, Sentence, Speaker, Spoken

log = structlog.get_logger()

APOLOGY_EMOTION = "calm_supportive"

TurnEvent = (
    Event | emotion_pb2.EmotionScore | emotion_pb2.DetectResponse | conversation_pb2.ReplyEnded | common_pb2.ErrorDetail
)


@dataclass(frozen=True)
class Utterance:
    """What the user said or typed.  Times are the event loop's, in seconds; None: not applicable.

    Args:
        turn: number of the turn.
        text: the words; empty where speech held none.
        typed: whether it came as text.
        ended_at: when the speech ended, or the text came; the turn's latencies count from here.
        sound: the speech itself, for those who hear feelings in it; None for typed text.
        decided_at: when the sound came by which the end of the turn was decided.
        final_at: when the final transcript came.
    """

    turn: int
    text: str
    typed: bool
    ended_at: float
    sound: common_pb2.Audio | None = field(default=None, repr=False)
    decided_at: float | None = None
    final_at: float | None = None


class TurnTaker:
    """Answers the utterances of one session, one at a time.

    Args:
        mesh: the services.
        speaker: speaks the reply.
        settings: limits and time-outs.
        memory: the session's earlier turns.
        send: takes a turn's number and one of its events.
    """

    def __init__(
        self,
        mesh: Mesh,
        speaker: Speaker,
        settings: GatewaySettings,
        *,
        memory: Memory,
        send: Callable[[int, TurnEvent], Awaitable[None]],
    ) -> None:
        self._mesh = mesh
        self._speaker = speaker
        self._settings = settings
        self._memory = memory
        self._send = send
        self._early: EarlyReply | None = None
        self._user = emotion_pb2.SpeakerState()  # what the emotion service has learned of the user

    async def prepare(self, text: str) -> None:
        """Asks the brain for its reply to `text`, which the user has probably said; `take` uses it if that was so."""
        await self.forget()
        self._early = EarlyReply(partial(self._judge, text), self._mesh.reply)

    async def forget(self) -> None:
        """Throws away what was prepared."""
        if self._early is not None:
            metrics.EARLY_REPLIES.labels("thrown_away").inc()
            early, self._early = self._early, None
            await early.close()

    async def take(self, utterance: Utterance) -> None:
        """Answers one utterance.  A failure is told as the turn's last event; the session goes on.

        Cancelling it stops the brain, the voice and the sending at once; the memory then holds what was heard.
        """
        source = "text" if utterance.typed else "speech"
        if not utterance.text.strip():  # a cough: nobody expects an answer
            metrics.TURNS.labels(source, "empty").inc()
            await self._send(utterance.turn, conversation_pb2.ReplyEnded(latency=_latency(utterance, Spoken())))
            return
        spoken, interrupted = Spoken(), True
        sensing = asyncio.create_task(self._sense(utterance))
        try:
            await self._speak(utterance, self._think(utterance, sensing), spoken)
        except Exception as failure:  # whatever it is: the session goes on
            interrupted = False
            metrics.TURNS.labels(source, "failed").inc()
            error = _typed(failure)
            log.warning("turn failed", turn=utterance.turn, error=type(failure).__name__, exc_info=error is not failure)
            if not spoken.sentences:
                await self._apologize(utterance, error)
            await self._send(utterance.turn, detail_of(error))
        else:
            interrupted = False
            metrics.TURNS.labels(source, "answered").inc()
            stages = _latency(utterance, spoken)
            for stage, reached in stages.ListFields():
                metrics.STAGE_SECONDS.labels(stage.name).observe(seconds(reached))
            ended = conversation_pb2.ReplyEnded(duration=duration(spoken.duration_s), latency=stages)
            await self._send(utterance.turn, ended)
        finally:
            unplayed_s = self._speaker.pacer.unplayed_s
            self._memory.add_reply(heard_sentences(spoken, unplayed_s) if interrupted else spoken.sentences)
            sensing.cancel()
            with suppress(asyncio.CancelledError):
                await sensing

    async def _speak(self, utterance: Utterance, sentences: AsyncGenerator[Sentence, None], spoken: Spoken) -> None:
        async def send(event: Event) -> None:
            await self._send(utterance.turn, event)

        await self._speaker.speak(sentences, send, spoken)

    async def _sense(self, utterance: Utterance) -> emotion_pb2.DetectResponse | None:
        """Tells what the user seems to feel; returns the judgement, None where nobody knows."""
        try:
            feeling = await self._mesh.detect_emotion(utterance.text, utterance.sound, self._user)
            strongest = feeling.emotions[0]
        except Exception as failure:  # whatever it is: the turn goes on without the emotion
            metrics.EMOTION_FAILED.labels(type(failure).__name__).inc()
            if not isinstance(failure, OviyaError):
                log.exception("the emotion could not be told", turn=utterance.turn)
            message = f"{_typed(failure)}; {CONSEQUENCES['emotion']}"
            await self._send(utterance.turn, conversation_pb2.Degraded(service="emotion", message=message))
            return None
        self._user = feeling.state
        await self._send(utterance.turn, strongest)
        if feeling.HasField("tone"):
            told = emotion_pb2.DetectResponse()
            told.CopyFrom(feeling)
            told.ClearField("state")
            await self._send(utterance.turn, told)
        return feeling

    async def _think(
        self, utterance: Utterance, sensing: asyncio.Task[emotion_pb2.DetectResponse | None]
    ) -> AsyncGenerator[Sentence, None]:
        """Yields the brain's reply, in pieces that can be spoken.

        The brain is read to its end at once, however slowly the reply is spoken, so that it is free for others.
        """
        done, _ = await asyncio.wait({sensing}, timeout=self._settings.emotion_budget_s)
        feeling = sensing.result() if done else None
        if not done:
            metrics.EMOTION_LATE.inc()
        request = self._request(utterance.text, feeling)
        reply = await self._reply(request)
        self._memory.add_user(utterance.text)
        sentences: asyncio.Queue[Sentence | None] = asyncio.Queue()
        reading = asyncio.create_task(self._read_brain(utterance.turn, request, reply, sentences))
        try:
            while (sentence := await sentences.get()) is not None:
                yield sentence
            await reading
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await reading

    def _request(self, text: str, feeling: emotion_pb2.DetectResponse | None) -> brain_pb2.ReplyRequest:
        return brain_pb2.ReplyRequest(
            session_id=self._memory.session_id,
            text=text,
            history=self._memory.turns(),
            summary=self._memory.summary,
            user_emotion=feeling.emotions[0].emotion if feeling else "",
            tone=feeling.tone if feeling and feeling.HasField("tone") else None,
        )

    async def _judge(self, text: str) -> brain_pb2.ReplyRequest:
        """The request for words whose sound is not over: the feeling is that of the words alone."""
        try:
            async with asyncio.timeout(self._settings.emotion_budget_s):
                feeling = await self._mesh.detect_emotion(text, None, self._user)
            if not feeling.emotions:
                feeling = None
        except Exception:  # told when the turn is taken, which asks again
            feeling = None
        return self._request(text, feeling)

    async def _reply(self, request: brain_pb2.ReplyRequest) -> AsyncGenerator[brain_pb2.ReplyResponse, None]:
        """Returns the reply that was prepared, if it answers these words in this tone, or asks for one."""
        if self._early is None or not self._early.answers(request):
            await self.forget()
            return self._mesh.reply(request)
        metrics.EARLY_REPLIES.labels("used").inc()
        early, self._early = self._early, None
        return early.responses()

    async def _read_brain(
        self,
        turn: int,
        request: brain_pb2.ReplyRequest,
        reply: AsyncGenerator[brain_pb2.ReplyResponse, None],
        sentences: asyncio.Queue[Sentence | None],
    ) -> None:
        """Reads the reply to its end or to the longest that is spoken."""
        settings, count = self._settings, 0
        tone = request.tone if request.HasField("tone") else None
        try:
            async with aclosing(reply):
                async for response in reply:
                    if response.degraded:
                        await self._send(turn, conversation_pb2.Degraded(service="brain", message=response.degraded))
                    for said in say_sentence(response.text, settings.max_sentence_chars, response.spoken):
                        count += 1
                        if count > settings.max_reply_sentences:
                            message = f"the reply has more than {count - 1} sentences; the rest is left out"
                            await self._send(turn, conversation_pb2.Degraded(service="brain", message=message))
                            return
                        sentences.put_nowait(Sentence(said.text, said.spoken, response.emotion, tone=tone))
            self._memory.shorten()
        finally:
            sentences.put_nowait(None)

    async def _apologize(self, utterance: Utterance, failure: OviyaError) -> None:
        """Says that there is no answer: whoever listens does not see the event that says so.

        The apology is no reply: it is not remembered, and where it cannot be spoken either, the failure is told alone.
        """

        async def sentences() -> AsyncGenerator[Sentence, None]:
            for said in say_text(self._settings.apology, self._settings.max_sentence_chars):
                yield Sentence(said.text, said.spoken, APOLOGY_EMOTION)

        try:
            await self._speak(utterance, sentences(), Spoken())
        except OviyaError as error:
            log.warning("no apology", turn=utterance.turn, failure=type(failure).__name__, error=type(error).__name__)


def _typed(failure: Exception) -> OviyaError:
    if isinstance(failure, OviyaError):
        return failure
    return OviyaError("internal error", hint="the gateway's log has the details")


def _latency(utterance: Utterance, spoken: Spoken) -> conversation_pb2.TurnLatency:
    return latency(spoken, since=utterance.ended_at, turn_end=utterance.decided_at, final_transcript=utterance.final_at)
