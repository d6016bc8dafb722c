"""Answers the user's turns: detects the emotion, generates the reply and has it spoken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import structlog

from oviya.durations import duration, seconds
from oviya.errors import OviyaError
from oviya.status import detail_of
from oviya.tasks import cancel_and_wait
from oviya.text.sentences import split_into_sentences
from oviya.v1 import brain_pb2, common_pb2, conversation_pb2, emotion_pb2
from services.gateway import metrics
from services.gateway.memory.memory import Memory
from services.gateway.settings import GatewaySettings
from services.gateway.turn.latency import latency
from services.gateway.turn.playback_truncation import heard_sentences
from services.gateway.turn.reply_generator import ReplyGenerator
from services.gateway.turn.utterance import Utterance
from services.gateway.upstream.clients import Mesh
from services.gateway.upstream.readiness import CONSEQUENCES
from services.gateway.voice.segment import Sentence, SpeechEvent
from services.gateway.voice.speech_handle import SpeechHandle, SpeechState
from services.gateway.voice.speech_output import SpeechOutput

log = structlog.get_logger()

APOLOGY_EMOTION = "calm_supportive"

TurnEvent = (
    SpeechEvent
    | emotion_pb2.EmotionScore
    | emotion_pb2.DetectResponse
    | conversation_pb2.ReplyEnded
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
        self._user = emotion_pb2.SpeakerState()  # what the emotion service has learned of the user

    async def start_preemptive_reply(self, text: str, language: str) -> None:
        """Asks the brain for a reply to `text` at an eager end of turn; `respond` uses it if the turn ends so."""
        await self._replies.start_preemptive(partial(self._preemptive_request, text, language))

    async def cancel_preemptive_reply(self) -> None:
        await self._replies.cancel_preemptive()

    async def respond(self, utterance: Utterance) -> None:
        """Answers one utterance.  A failure is reported as the turn's last event, and the session goes on.

        Cancelling this interrupts the reply: the brain, the voices and sending stop, and the memory holds what was
        heard.
        """
        source = "text" if utterance.typed else "speech"
        if not utterance.typed and not any(map(str.isalnum, utterance.text)):  # a cough: no answer is expected
            metrics.TURNS.labels(source, "empty").inc()
            await self.send(utterance.turn, conversation_pb2.ReplyEnded(latency=_latency(utterance, None)))
            return
        send = partial(self.send, utterance.turn)
        detecting = asyncio.create_task(self._detect_emotion(utterance))
        sentences = self._replies.sentences(utterance.text, utterance.language, detecting, send)
        self.output.context.add_user(utterance.turn, utterance.text, utterance.language)
        speech = self.output.say(sentences, send, utterance.turn)
        try:
            await speech.wait()
        except Exception as failure:  # of any kind, so that the session goes on
            metrics.TURNS.labels(source, "failed").inc()
            error = _typed(failure)
            log.warning("turn failed", turn=utterance.turn, error=type(failure).__name__, exc_info=error is not failure)
            if not speech.sent_segments:
                await self._apologize(utterance, error)
            await send(detail_of(error))
        else:
            metrics.TURNS.labels(source, "answered").inc()
            stages = _latency(utterance, speech)
            for stage, reached in stages.ListFields():
                metrics.STAGE_SECONDS.labels(stage.name).observe(seconds(reached))
            ended = conversation_pb2.ReplyEnded(duration=duration(speech.sent_s), latency=stages)
            await send(ended)
        finally:
            interrupted = speech.state is SpeechState.INTERRUPTED
            self.memory.add_reply(heard_sentences(speech) if interrupted else speech.sent_texts)
            await cancel_and_wait(detecting)

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

        async def sentences() -> AsyncGenerator[Sentence, None]:
            for said in split_into_sentences(self.settings.apology, self.settings.max_sentence_chars):
                yield Sentence(said.text, said.spoken, APOLOGY_EMOTION)

        try:
            await self.output.say(sentences(), partial(self.send, utterance.turn)).wait()
        except OviyaError as error:
            log.warning(
                "apology failed", turn=utterance.turn, failure=type(failure).__name__, error=type(error).__name__
            )


def _typed(failure: Exception) -> OviyaError:
    if isinstance(failure, OviyaError):
        return failure
    return OviyaError("internal error", hint="the gateway's log has the details")


def _latency(utterance: Utterance, speech: SpeechHandle | None) -> conversation_pb2.TurnLatency:
    return latency(speech, since=utterance.ended_at, turn_end=utterance.decided_at, final_transcript=utterance.final_at)
