"""Answers the user's turns: detects the emotion, generates the reply and has it spoken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import structlog

from oviya.durations import duration, seconds
from oviya.errors import OviyaError
from oviya.mesh import turn_id
from oviya.status import detail_of
from oviya.tasks import cancel_and_wait
from oviya.text.sentences import split_into_sentences
from oviya.v1 import brain_pb2, common_pb2, conversation_pb2, emotion_pb2
from services.gateway import metrics
from services.gateway.memory.memory import MAX_TURN_CHARS, Memory
from services.gateway.settings import GatewaySettings
from services.gateway.turn.filler import Fillers
from services.gateway.turn.latency import latency
from services.gateway.turn.playback_truncation import heard_sentences, unheard_sentences
from services.gateway.turn.preemptive_reply import PreemptiveReply
from services.gateway.turn.reply_generator import ReplyGenerator
from services.gateway.turn.running_reply import RunningReply
from services.gateway.turn.utterance import Utterance
from services.gateway.upstream.clients import Mesh
from services.gateway.upstream.readiness import CONSEQUENCES
from services.gateway.voice.segment import Send, Sentence, SpeechEvent
from services.gateway.voice.speech_handle import SpeechHandle, SpeechState
from services.gateway.voice.speech_output import SpeechOutput

log = structlog.get_logger()

APOLOGY_EMOTION = "calm_supportive"

TurnEvent = (
    SpeechEvent
    | emotion_pb2.EmotionScore
    | emotion_pb2.DetectResponse
    | conversation_pb2.ReplyEnded
    | conversation_pb2.Interrupted
    | common_pb2.ErrorDetail
)


@dataclass
class TurnHandler:
    """Answers the utterances of one session, one at a time.

    Args:
        send: takes a turn's number and one of its events.
    """

    mesh: Mesh
    output: SpeechOutput
    settings: GatewaySettings
    memory: Memory
    send: Callable[[int, TurnEvent], Awaitable[None]]

    def __post_init__(self) -> None:
        self._replies = ReplyGenerator(self.mesh, self.settings, self.memory)
        self._fillers = Fillers(self.settings.fillers, self.settings.filler_after_s)
        self._user = emotion_pb2.SpeakerState()  # what the emotion service has learned of the user
        self._preemptive: PreemptiveReply | None = None
        self.reply = RunningReply()
        """The reply that is being given."""

    async def start_preemptive_reply(self, turn: int, text: str, language: str) -> None:
        """Makes a reply to `text` at an eager end of turn; `respond` gives it if the turn ends so."""
        await self.cancel_preemptive_reply()
        request = partial(self._preemptive_request, text, language)
        self.output.context.add_user(turn, text, language)
        self._preemptive = PreemptiveReply(turn, text, request, self._replies.ask, self.output, self._fillers.add)

    async def cancel_preemptive_reply(self) -> None:
        """Cancels the preemptive reply, if there is one."""
        preemptive, self._preemptive = self._preemptive, None
        if preemptive is not None:
            metrics.PREEMPTIVE_REPLIES.labels("thrown_away").inc()
            await preemptive.cancel()
            self.output.context.remove(preemptive.turn)

    async def respond(self, utterance: Utterance) -> None:
        """Answers one utterance.  A failure is reported as the turn's last event, and the session goes on.

        Cancelling this interrupts the reply: the brain, the voices and sending stop, and the memory holds what was
        heard.  `reply.stop` does the same, reports it, and lets this return.
        """
        source = "text" if utterance.typed else "speech"
        if not utterance.typed and not any(map(str.isalnum, utterance.text)):  # a cough: no answer is expected
            metrics.TURNS.labels(source, "empty").inc()
            await self.send(utterance.turn, conversation_pb2.ReplyEnded(latency=_latency(utterance, None)))
            return
        send = partial(self.send, utterance.turn)
        detecting = asyncio.create_task(self._detect_emotion(utterance))
        with self.reply.of_turn(utterance.turn):
            try:
                speech = await self._start(utterance, detecting, send)
                outcome = await self._give(speech, utterance, send, detecting)
                metrics.TURNS.labels(source, outcome).inc()
            finally:
                await cancel_and_wait(detecting)

    async def ask_after_silence(self, turn: int, text: str) -> None:
        """Says something in a turn of its own, without a word from the user."""
        metrics.SILENCE_PROMPTS.inc()
        send = partial(self.send, turn)
        utterance = Utterance(turn, "", typed=True, ended_at=asyncio.get_running_loop().time())
        self._replies.current = None
        with self.reply.of_turn(turn):
            speech = self.output.say(self._sentences(text, APOLOGY_EMOTION), send, turn=turn, words=True)
            self.reply.begin(speech)
            await self._give(speech, utterance, send)

    async def _start(
        self, utterance: Utterance, detecting: asyncio.Task[emotion_pb2.DetectResponse | None], send: Send
    ) -> SpeechHandle:
        """Starts the reply, or gives the one that was made before the end of the turn."""
        text, language, replies = utterance.text, utterance.language, self._replies
        replies.current = None
        made = self._preemptive
        if made is not None and (made.turn, made.text) == (utterance.turn, text):
            request = replies.request(text, language, await replies.emotion_in_time(detecting))
            preemptive = self._preemptive
            if preemptive is not None and preemptive.answers(request):
                self._preemptive = None
                metrics.PREEMPTIVE_REPLIES.labels("used").inc()
                self.memory.add_user(text)
                replies.current = await preemptive.use(send, request)
                self.reply.begin(preemptive.speech)
                return preemptive.speech
        await self.cancel_preemptive_reply()
        begun = asyncio.Event()
        begun.set()
        sentences = self._fillers.add(replies.sentences(text, language, detecting, send), begun)
        self.output.context.add_user(utterance.turn, text, language)
        speech = self.output.say(sentences, send, turn=utterance.turn, words=True)
        self.reply.begin(speech)
        return speech

    async def _give(
        self,
        speech: SpeechHandle,
        utterance: Utterance,
        send: Callable[[TurnEvent], Awaitable[None]],
        detecting: asyncio.Task[emotion_pb2.DetectResponse | None] | None = None,
    ) -> str:
        """Waits until a reply has been played, or was interrupted or failed; returns the outcome for the metrics.

        `detecting` ends before the turn's last event is sent.
        """
        turn, outcome = utterance.turn, "answered"
        try:
            try:
                await speech.wait()
            finally:
                self._replies.interruption = None
                if self._replies.current is None and utterance.text:  # it ended before the brain was asked
                    self.memory.add_user(utterance.text)
        except Exception as failure:  # of any kind, so that the session goes on
            outcome, error = "failed", _typed(failure)
            log.warning("turn failed", turn=turn, error=type(failure).__name__, exc_info=error is not failure)
            if not speech.sent_texts:  # also after a filler, which is no answer
                await self._apologize(utterance, error)
            await cancel_and_wait(detecting)
            await send(detail_of(error))
        else:
            await cancel_and_wait(detecting)
            if speech.state is SpeechState.INTERRUPTED:
                outcome = "interrupted"
                await send(self._interrupted(speech))
            else:
                stages = _latency(utterance, speech)
                for stage, reached in stages.ListFields():
                    metrics.STAGE_SECONDS.labels(stage.name).observe(seconds(reached), exemplar=turn_id.exemplar())
                await send(conversation_pb2.ReplyEnded(duration=duration(speech.sent_s), latency=stages))
        finally:
            interrupted = speech.state is SpeechState.INTERRUPTED
            self.memory.add_reply(heard_sentences(speech) if interrupted else speech.sent_texts)
            if interrupted:
                self.output.context.cut_reply(turn, _heard_prompts(speech))
        return outcome

    def _interrupted(self, speech: SpeechHandle) -> conversation_pb2.Interrupted:
        """Makes the event of an interrupted reply, and remembers it for the next turn."""
        made = self._replies.current.texts if self._replies.current is not None else []
        spoken = sum(not one.segment.filler for one in speech.segments)
        heard = " ".join(heard_sentences(speech))
        unheard = " ".join([*unheard_sentences(speech), *made[spoken:]])
        self._replies.interruption = brain_pb2.Interruption(
            heard_text=heard[:MAX_TURN_CHARS], unheard_text=unheard[:MAX_TURN_CHARS]
        )
        metrics.INTERRUPTIONS.labels(
            conversation_pb2.InterruptReason.Name(self.reply.stop_reason).split("_", 2)[2]
        ).inc()
        return conversation_pb2.Interrupted(
            reason=self.reply.stop_reason, heard_text=heard, unheard_text=unheard, position=duration(speech.played_s)
        )

    async def _detect_emotion(self, utterance: Utterance) -> emotion_pb2.DetectResponse | None:
        """Detects and reports the user's emotion; None if it could not be detected."""
        try:
            detected = await self.mesh.detect_emotion(
                utterance.text, utterance.sound, self._user, language=utterance.language
            )
            strongest = detected.emotions[0]
        except Exception as failure:  # of any kind: the turn goes on without the emotion
            metrics.EMOTION_FAILED.labels(type(failure).__name__).inc()
            if not isinstance(failure, OviyaError):
                log.exception("emotion detection failed", turn=utterance.turn)
            message = f"{_typed(failure)}; {CONSEQUENCES['emotion']}"
            await self.send(utterance.turn, conversation_pb2.Degraded(service="emotion", message=message))
            return None
        self._user = detected.state
        await self.send(utterance.turn, strongest)
        if detected.HasField("tone"):
            reported = emotion_pb2.DetectResponse()
            reported.CopyFrom(detected)
            reported.ClearField("state")
            await self.send(utterance.turn, reported)
        return detected

    async def _preemptive_request(self, text: str, language: str) -> brain_pb2.ReplyRequest:
        """Makes the request for words whose sound is not complete: the emotion is that of the words alone."""
        try:
            async with asyncio.timeout(self.settings.emotion_budget_s):
                detected = await self.mesh.detect_emotion(text, None, self._user, language=language)
        except Exception:  # reported by `respond`, which asks again
            detected = None
        return self._replies.request(text, language, detected if detected and detected.emotions else None)

    async def _apologize(self, utterance: Utterance, failure: OviyaError) -> None:
        """Speaks an apology, since a listener does not see the event that reports the failure.

        The apology is not remembered.  If it cannot be spoken either, only the event reports the failure.
        """
        try:
            send = partial(self.send, utterance.turn)
            speech = self.output.say(self._sentences(self.settings.apology, APOLOGY_EMOTION), send, turn=utterance.turn)
            self.reply.begin(speech)
            await speech.wait()
        except OviyaError as error:
            log.warning(
                "apology failed", turn=utterance.turn, failure=type(failure).__name__, error=type(error).__name__
            )

    async def _sentences(self, text: str, emotion: str) -> AsyncGenerator[Sentence, None]:
        for said in split_into_sentences(text, self.settings.max_sentence_chars):
            yield Sentence(said.text, said.spoken, emotion)


def _heard_prompts(speech: SpeechHandle) -> list[str]:
    """Returns the prompt texts of the sentences that have been played to their end."""
    return [sent.segment.prompt_text for sent in speech.sent_segments if sent.share_at(speech.played_s) >= 1]


def _typed(failure: Exception) -> OviyaError:
    if isinstance(failure, OviyaError):
        return failure
    return OviyaError("internal error", hint="the gateway's log has the details")


def _latency(utterance: Utterance, speech: SpeechHandle | None) -> conversation_pb2.TurnLatency:
    return latency(speech, since=utterance.ended_at, turn_end=utterance.decided_at, final_transcript=utterance.final_at)
