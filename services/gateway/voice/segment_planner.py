"""Decides how each sentence of a reply is spoken: prosody, voice, script and language."""

from __future__ import annotations

from dataclasses import dataclass

from oviya.errors import InvalidInput, OviyaError
from oviya.text.scripts import language_of, main_script, romanized, speaks
from oviya.v1 import conversation_pb2, csm_pb2, emotion_pb2
from services.gateway import metrics
from services.gateway.upstream.clients import Mesh
from services.gateway.upstream.readiness import Readiness
from services.gateway.voice.segment import (
    AUTO,
    CSM,
    ENGLISH,
    FALLBACK,
    NEUTRAL_PLAN,
    Segment,
    Send,
    Sentence,
    SpeechOptions,
    Voice,
)


@dataclass
class SegmentPlanner:
    """Plans the sentences of one reply.

    Args:
        mesh: the emotion service maps emotions to prosody plans.
        readiness: whether CSM is available, and which scripts its checkpoint speaks.
    """

    mesh: Mesh
    readiness: Readiness
    options: SpeechOptions
    send: Send

    def __post_init__(self) -> None:
        self._emotion_failed = False
        self._reported_languages: set[str] = set()
        self._voice = self.options.voice
        if self._voice == AUTO:
            self._voice = CSM if self.readiness.voice_problem() is None else FALLBACK

    def use_fallback(self) -> None:
        """Uses the fallback voice for the rest of the reply: a reply should not change its voice at every sentence."""
        self._voice = FALLBACK

    async def prosody(self, sentence: Sentence) -> emotion_pb2.ProsodyPlan:
        """Returns the prosody plan of a sentence; the neutral one where the emotion service has none.

        Failures are reported once a reply.

        Raises:
            InvalidInput: the sentence is strict, and no such emotion exists.
        """
        if self._emotion_failed:
            return NEUTRAL_PLAN
        try:
            return await self.mesh.map_emotion(sentence.emotion, sentence.tone)
        except InvalidInput as error:
            if sentence.strict:
                raise
            await self.send(conversation_pb2.Degraded(service="brain", message=f"{error}; neutral is used"))
        except OviyaError as error:
            self._emotion_failed = True
            message = f"{error}; the reply is spoken neutrally"
            await self.send(conversation_pb2.Degraded(service="emotion", message=message))
        return NEUTRAL_PLAN

    async def segment(
        self,
        index: int,
        sentence: Sentence,
        plan: emotion_pb2.ProsodyPlan,
        context: list[csm_pb2.ContextSegment],
    ) -> Segment:
        """Chooses the voice of a sentence, and puts its words into letters that this voice can read.

        Raises:
            InvalidInput: the caller asked for CSM, whose checkpoint does not speak the script.
        """
        voice, spoken = await self._choose_voice(sentence.spoken)
        language = language_of(spoken) or ENGLISH
        if language is ENGLISH:
            spoken = romanized(spoken)
        return Segment(index, sentence.text, spoken, language, plan, voice, self.options, context)

    def language(self, segment: Segment, voice: Voice) -> str:
        """Returns the code of the language in which `voice` reads a segment."""
        return (self.readiness.checkpoint_speech.language or ENGLISH.code) if voice == CSM else segment.language.code

    async def _choose_voice(self, spoken: str) -> tuple[Voice, str]:
        """Returns the voice and its words.  The fallback voice reads scripts that the checkpoint does not speak, and
        CSM may speak the sentence after it."""
        checkpoint, script = self.readiness.checkpoint_speech, main_script(spoken)
        if self._voice != CSM:
            return self._voice, spoken
        if speaks(checkpoint.scripts, script):
            return CSM, romanized(spoken, checkpoint.scripts) if checkpoint.scripts else spoken
        spoken_scripts = f"{checkpoint.name} speaks {', '.join(checkpoint.scripts)} script only"
        if self.options.voice == CSM:
            hint = "leave the choice of the voice to the gateway"
            raise InvalidInput("text", f"{script} script", spoken_scripts, hint=hint)
        metrics.OTHER_SCRIPTS.labels(script).inc()
        language = language_of(spoken) or ENGLISH
        if language.code not in self._reported_languages:
            self._reported_languages.add(language.code)
            message = f"{spoken_scripts}; the fallback voice reads {script} script in {language.name} ({language.code})"
            await self.send(conversation_pb2.Degraded(service="csm", message=message))
        return FALLBACK, spoken
