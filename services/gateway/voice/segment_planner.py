"""Decides how each sentence of a reply is spoken: prosody, voice, script and language."""

from __future__ import annotations

from dataclasses import dataclass

from oviya.errors import InvalidInput, OviyaError
from oviya.text.language_tags import name_of
from oviya.text.languages import language_of
from oviya.text.scripts import LATIN, main_script, romanized, speaks
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
        readiness: whether CSM is available, and which scripts and languages its checkpoint speaks.
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
            return await self.mesh.map_emotion(self.options.emotion or sentence.emotion, sentence.tone)
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
        voice, spoken = await self._choose_voice(sentence)
        language = language_of(spoken, sentence.language) or ENGLISH
        if language is ENGLISH or main_script(spoken) == LATIN:
            spoken = romanized(spoken)
        return Segment(
            index, sentence.text, spoken, language, plan, voice, self.options, context, filler=sentence.filler
        )

    def language(self, segment: Segment, voice: Voice) -> str:
        """Returns the code of the language in which `voice` reads a segment."""
        languages, read_in = self.readiness.checkpoint_speech.languages, segment.language.code
        return read_in if voice != CSM or read_in in languages else next(iter(languages), ENGLISH.code)

    async def _choose_voice(self, sentence: Sentence) -> tuple[Voice, str]:
        """Returns the voice and its words.  The fallback voice reads scripts and languages that the checkpoint does not
        speak, and CSM may speak the sentence after it."""
        checkpoint, spoken = self.readiness.checkpoint_speech, sentence.spoken
        script, language = main_script(spoken), language_of(spoken, sentence.language)
        if self._voice != CSM:
            return self._voice, spoken
        if not speaks(checkpoint.scripts, script):
            limit, what = f"{', '.join(checkpoint.scripts)} script only", f"{script} script in "
            if self.options.voice == CSM:
                hint = "leave the choice of the voice to the gateway"
                raise InvalidInput("text", f"{script} script", f"{checkpoint.name} speaks {limit}", hint=hint)
            metrics.OTHER_SCRIPTS.labels(script).inc()
        elif self.options.voice == AUTO and language is not None and not checkpoint.speaks(sentence.language):
            limit, what = f"{', '.join(map(name_of, checkpoint.languages))} only", ""
            metrics.OTHER_LANGUAGES.labels(language.code).inc()
        else:
            return CSM, romanized(spoken, checkpoint.scripts) if checkpoint.scripts else spoken
        language = language or ENGLISH
        if language.code not in self._reported_languages:
            self._reported_languages.add(language.code)
            reading = f"the fallback voice reads {what}{language.name} ({language.code})"
            message = f"{checkpoint.name} speaks {limit}; {reading}"
            await self.send(conversation_pb2.Degraded(service="csm", message=message))
        return FALLBACK, spoken
