"""Speaks sentences one after the other: while one is sent, the next is made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

import numpy as np
import structlog

from oviya.audio.pcm import Pcm
from oviya.errors import InvalidInput, OviyaError, Unavailable
from oviya.text.scripts import language_of, main_script, romanized, speaks
from oviya.v1 import common_pb2, conversation_pb2, emotion_pb2
from services.gateway import metrics
from services.gateway.settings import GatewaySettings
from services.gateway.upstream.clients import Mesh
from services.gateway.upstream.readiness import Readiness
from services.gateway.voice.fallback import ACTIVE_LEVEL_DBOV
from services.gateway.voice.loudness import Loudness
from services.gateway.voice.pacer import Pacer
from services.gateway.voice.packetizer import VOICE_RATE_HZ, Packetizer
from services.gateway.voice.segment import (
    AUTO,
    CSM,
    ENGLISH,
    FALLBACK,
    NEUTRAL_PLAN,
    Line,
    SpeechOptions,
    SpeechVoice,
    Voice,
)
from services.gateway.voice.shaping import shaped
from services.gateway.voice.voice_context import VoiceContext

log = structlog.get_logger()

RESTART_PAUSE_S = 0.25
"""Silence before a sentence that broke off is said again: a breath, so that it is heard as a new start."""

Event = conversation_pb2.ReplySentence | common_pb2.Audio | conversation_pb2.Degraded
Send = Callable[[Event], Awaitable[None]]


@dataclass(frozen=True)
class Sentence:
    """What to say, as a person reads it and as it is said, and with which emotion.  `strict`: an emotion that does not
    exist is the caller's error; `tone`: how strongly to show it, and what to mix in."""

    text: str
    spoken: str
    emotion: str
    strict: bool = False
    tone: emotion_pb2.Tone | None = None


@dataclass
class Spoken:
    """What became of a reply.  Times are the event loop's, in seconds; None: not reached.

    `sentences` are as a person reads them.
    `starts_s` says at which second of the reply's sound each sentence began, `finished` how many were sent whole.
    """

    sentences: list[str] = field(default_factory=list)
    starts_s: list[float] = field(default_factory=list)
    finished: int = 0
    duration_s: float = 0.0
    first_sentence_at: float | None = None
    first_frame_at: float | None = None
    first_audio_at: float | None = None


@dataclass(frozen=True)
class Voices:
    """What speaking needs of the gateway; the same for all callers.

    Args:
        mesh: the emotion service is asked for each sentence's plan.
        readiness: says whether CSM can be expected to speak.
        csm: the voice of CSM and Mimi.
        fallback: the voice that needs no other service.
        settings: the voice's settings.
    """

    mesh: Mesh
    readiness: Readiness
    csm: SpeechVoice
    fallback: SpeechVoice
    settings: GatewaySettings


class Speaker:
    """Speaks to one caller, and remembers from reply to reply what makes the voice steady.

    Args:
        voices: what speaks.
        options: how the caller wants to be spoken to.
        audio_format: format of the audio that is sent.
    """

    def __init__(self, voices: Voices, options: SpeechOptions, audio_format: common_pb2.AudioFormat) -> None:
        gain = voices.settings.voice_gain
        self.voices = voices
        self.options = options
        self.audio_format = audio_format
        self.pacer = Pacer(options.lead_s)
        self.context = VoiceContext(voices.settings.voice_context_turns)
        self.loudness: dict[Voice, Loudness] = {
            CSM: Loudness(VOICE_RATE_HZ, gain=gain),
            FALLBACK: Loudness(VOICE_RATE_HZ, gain=gain, expected_dbov=ACTIVE_LEVEL_DBOV),
        }

    async def speak(self, sentences: AsyncGenerator[Sentence, None], send: Send, spoken: Spoken) -> None:
        """Speaks `sentences` to their end.

        Sentence k + 1 is made while sentence k is sent, and not sooner: what is never heard should cost little.

        A sentence that CSM cannot speak is spoken by the fallback voice where the caller left the choice, and so is the
        rest of the reply: one reply should not change its voice at every sentence.  Where a part of it was already
        sent, the sentence is said again from its beginning after a short pause, with a second ReplySentence of the same
        index: nobody can know which words were heard, and saying some twice loses less than leaving some out.

        Args:
            sentences: what to say; what it raises ends the reply after the sentences before.
            send: takes the events: ReplySentence, Audio, Degraded.
            spoken: is filled as the reply goes on, so that it is right when the reply is cancelled.

        Raises:
            OviyaError: a sentence could not be spoken, or `sentences` failed.
        """
        making = _Making(self, send, spoken)
        task = asyncio.create_task(making.run(sentences))
        try:
            while (take := await making.next_take()) is not None:
                await _Sending(self, take, send, spoken).run()
            await task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task
            for loudness in self.loudness.values():
                loudness.flush()  # what a cancelled reply left in them


@dataclass(frozen=True)
class _Start:
    """A voice begins the sentence; a second one says it again from its beginning.  `energy_scale` is the factor that is
    put on its amplitude."""

    voice: Voice
    energy_scale: float


class _Take:
    """One sentence on its way from the voice to the listener."""

    def __init__(self, line: Line) -> None:
        self.line = line
        # Bounded by the length of a sentence; None ends it.
        self.parts: asyncio.Queue[_Start | Pcm | None] = asyncio.Queue()

    def restart(self) -> None:
        """Forgets what was made and not yet sent."""
        while not self.parts.empty():
            self.parts.get_nowait()


class _Making:
    """The making of one reply's sound."""

    def __init__(self, speaker: Speaker, send: Send, spoken: Spoken) -> None:
        self._speaker = speaker
        self._voices = speaker.voices
        self._send = send
        self._spoken = spoken
        self._emotion_failed = False
        self._voice = speaker.options.voice
        if self._voice == AUTO:
            self._voice = CSM if self._voices.readiness.voice_problem() is None else FALLBACK
        self._takes: asyncio.Queue[_Take | None] = asyncio.Queue()
        self._ahead = asyncio.Semaphore(1)  # takes that may wait while one is sent
        self._told_languages: set[str] = set()

    async def run(self, sentences: AsyncGenerator[Sentence, None]) -> None:
        """Makes the sentences' sound, one sentence ahead of its sending."""
        index = 0
        try:
            async with aclosing(sentences):
                async for sentence in sentences:
                    if self._spoken.first_sentence_at is None:
                        self._spoken.first_sentence_at = asyncio.get_running_loop().time()
                    plan = await self._plan(sentence)
                    await self._ahead.acquire()
                    context = self._speaker.context.segments()
                    voice, spoken = await self._choose(sentence)
                    language = language_of(spoken) or ENGLISH
                    if language is ENGLISH:
                        spoken = romanized(spoken)  # in a script that nobody here reads
                    line = Line(index, sentence.text, spoken, language, plan, self._speaker.options, context)
                    take = _Take(line)
                    self._takes.put_nowait(take)
                    await self._fill(take, voice)
                    index += 1
        finally:
            self._takes.put_nowait(None)

    async def next_take(self) -> _Take | None:
        """Waits for the next sentence to send; None: there are no more."""
        take = await self._takes.get()
        self._ahead.release()
        return take

    async def _choose(self, sentence: Sentence) -> tuple[Voice, str]:
        """The voice of a sentence, and its words in letters which that voice speaks.

        A sentence in a script that the checkpoint does not speak is read by the fallback voice; the next one may be
        spoken by CSM again.

        Raises:
            InvalidInput: the caller asked for CSM, which does not speak the script.
        """
        checkpoint, spoken = self._voices.readiness.checkpoint_speech, sentence.spoken
        script = main_script(spoken)
        if self._voice != CSM:
            return self._voice, spoken
        if speaks(checkpoint.scripts, script):
            return CSM, romanized(spoken, checkpoint.scripts) if checkpoint.scripts else spoken
        own = f"{checkpoint.name} speaks {', '.join(checkpoint.scripts)} script only"
        if self._speaker.options.voice == CSM:
            raise InvalidInput("text", f"{script} script", own, hint="leave the choice of the voice to the gateway")
        metrics.OTHER_SCRIPTS.labels(script).inc()
        language = language_of(spoken) or ENGLISH
        if language.code not in self._told_languages:
            self._told_languages.add(language.code)
            message = f"{own}; the fallback voice reads {script} script in {language.name} ({language.code})"
            await self._send(conversation_pb2.Degraded(service="csm", message=message))
        return FALLBACK, spoken

    async def _plan(self, sentence: Sentence) -> emotion_pb2.ProsodyPlan:
        """Asks how to speak a sentence; neutrally where nobody can say, which is told once a reply."""
        if self._emotion_failed:
            return NEUTRAL_PLAN
        try:
            return await self._voices.mesh.map_emotion(sentence.emotion, sentence.tone)
        except InvalidInput as error:
            if sentence.strict:
                raise
            await self._send(conversation_pb2.Degraded(service="brain", message=f"{error}; neutral is used"))
        except OviyaError as error:
            self._emotion_failed = True
            message = f"{error}; the reply is spoken neutrally"
            await self._send(conversation_pb2.Degraded(service="emotion", message=message))
        return NEUTRAL_PLAN

    async def _fill(self, take: _Take, voice: Voice) -> None:
        """Makes one sentence with `voice`, or with the fallback where that one fails and may be replaced."""
        line = take.line
        try:
            await self._record(take, voice)
            if voice == CSM:
                self._speaker.context.add(line.options.speaker, line.prompt_text, line.frames)
        except OviyaError as error:
            if voice != CSM:
                raise
            metrics.VOICE_FAILURES.labels(type(error).__name__).inc()
            if line.options.voice == CSM:
                raise
            log.warning("the fallback voice takes over", error=type(error).__name__)
            self._voice = FALLBACK
            take.restart()
            service = error.service if isinstance(error, Unavailable) else "csm"
            message = f"{error}; the fallback voice speaks"
            await self._send(conversation_pb2.Degraded(service=service, message=message))
            await self._record(take, FALLBACK)
        finally:
            take.parts.put_nowait(None)

    async def _record(self, take: _Take, voice: Voice) -> None:
        plan = take.line.plan
        take.parts.put_nowait(_Start(voice, plan.energy_scale))
        # A checkpoint with style tokens puts the plan into its speech by itself, and so does the fallback voice.
        styled = voice == CSM and plan.style in self._voices.readiness.styles
        speaking = (self._voices.csm if voice == CSM else self._voices.fallback).speak(take.line)
        if voice == CSM and not styled:
            speaking = shaped(speaking, VOICE_RATE_HZ, plan)
        async with aclosing(speaking) as sound:
            async for samples in sound:
                if voice == CSM and self._spoken.first_frame_at is None:
                    self._spoken.first_frame_at = take.line.first_frame_at
                take.parts.put_nowait(samples)
        metrics.VOICE_SENTENCES.labels("csm" if voice == CSM else "fallback").inc()


class _Sending:
    """The sending of one sentence: what it is, just before its first sound, then its sound at the caller's pace."""

    def __init__(self, speaker: Speaker, take: _Take, send: Send, spoken: Spoken) -> None:
        self._speaker = speaker
        self._take = take
        self._send = send
        self._spoken = spoken
        self._packetizer = Packetizer(speaker.audio_format)
        self._voice = FALLBACK
        self._energy_scale = 1.0
        self._announced = False

    async def run(self) -> None:
        """Sends the sentence to its end."""
        parts = self._take.parts
        while (part := await parts.get()) is not None:
            if isinstance(part, _Start):
                await self._start(part)
                continue
            await self._push(self._packetizer.push(self._loudness.process(part, self._energy_scale)))
        await self._finish()
        self._spoken.finished = len(self._spoken.sentences)

    @property
    def _loudness(self) -> Loudness:
        return self._speaker.loudness[self._voice]

    async def _start(self, start: _Start) -> None:
        """Begins with a voice; where another one has been heard, after its last sound and a pause."""
        if self._announced:
            await self._finish()
            self._announced = False
            self._voice = start.voice
            await self._push(self._packetizer.push(np.zeros(round(RESTART_PAUSE_S * VOICE_RATE_HZ), np.float32)))
        else:
            self._loudness.flush()  # what was made and never sent
            self._packetizer = Packetizer(self._speaker.audio_format)
            self._voice = start.voice
        self._energy_scale = start.energy_scale

    async def _finish(self) -> None:
        await self._push(self._packetizer.push(self._loudness.flush()))
        await self._push(self._packetizer.flush())

    async def _push(self, audios: Iterable[tuple[common_pb2.Audio, float]]) -> None:
        line, spoken = self._take.line, self._spoken
        for audio, length_s in audios:
            if spoken.first_audio_at is None:
                spoken.first_audio_at = asyncio.get_running_loop().time()
            await self._speaker.pacer.pace(length_s)
            if not self._announced:
                self._announced = True
                if len(spoken.sentences) <= line.index:
                    spoken.sentences.append(line.text)
                    spoken.starts_s.append(spoken.duration_s)
                spoken.starts_s[line.index] = spoken.duration_s  # where it is said again, that counts
                own = self._speaker.voices.readiness.checkpoint_speech.language or ENGLISH.code
                await self._send(
                    conversation_pb2.ReplySentence(
                        index=line.index,
                        text=line.text,
                        plan=line.plan,
                        voice=self._voice,
                        spoken=line.spoken,
                        language=own if self._voice == CSM else line.language.code,
                    )
                )
            await self._send(audio)
            spoken.duration_s += length_s
