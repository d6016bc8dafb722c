"""Voices of callers' own: turns clips into references for CSM, and keeps those that are registered."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from oviya.errors import InvalidInput, Unavailable, Unsupported
from oviya.v1 import common_pb2, conversation_pb2, csm_pb2
from services.gateway import metrics
from services.gateway.memory.session_handle import hash_token, new_token
from services.gateway.own_voice.clip import (
    CLIP_FIELD,
    MAX_CLIP_TEXT_CHARS,
    TEXT_FIELD,
    Clip,
    read_clip,
    refused,
)
from services.gateway.own_voice.cutting import fit_clip
from services.gateway.own_voice.encoding import encode_clip
from services.gateway.own_voice.registered_voice import RegisteredVoice, TemporaryVoices, denied
from services.gateway.own_voice.sound_checks import check_background, check_sound, levelled
from services.gateway.own_voice.speaker_count import check_one_speaker
from services.gateway.own_voice.text_match import check_text_matches
from services.gateway.own_voice.transcription import ClipTranscript, transcribe
from services.gateway.own_voice.voice_folder import VoiceFolder
from services.gateway.quota import Quota
from services.gateway.settings import GatewaySettings
from services.gateway.upstream.clients import Mesh
from services.gateway.upstream.readiness import Readiness

KEEP_FIELD, TOKEN_FIELD, SPEAKER_FIELD = "set_voice.keep_as", "set_voice.voice_token", "set_voice.speaker"
REGISTERED_FIELD = "set_voice.registered"
CONSENT_FIELD = f"{CLIP_FIELD}.consent"
MAX_NAME_CHARS = 64
MAX_SPEAKER = 65_535
FIRST_OWN_SPEAKER = 10
"""Least speaker id of a clip's voice.  Ids that the checkpoint does not know take the voice of the context; the demo
checkpoint was trained on 10 to 99 for it."""
MIN_SPEECH_S = 2.5
"""Least speech in a clip, without long pauses: about what a clip of 3 s holds."""
CONSENT_HINT = "set it only if the person who speaks agrees to their voice being kept and spoken with"
CHECKS_AT_ONCE = 4
"""Clips that are checked at once; a clip takes speech-to-text for a second or two."""


@dataclass(frozen=True)
class ChosenVoice:
    """The voice of the replies that follow.

    Attributes:
        speaker: speaker id of CSM's prompt.
        reference: clip that leads CSM's context; None: the speaker's own voice.
        answer: what the caller is told.
    """

    speaker: int
    reference: csm_pb2.ContextSegment | None
    answer: conversation_pb2.VoiceSet


@dataclass(frozen=True)
class VoiceReceipt:
    """A voice that was registered.

    Attributes:
        voice: the voice.
        token: permits speaking with it and deleting it.
        kept: whether it is kept; otherwise it is forgotten after `TEMPORARY_S`.
    """

    voice: RegisteredVoice
    token: str
    kept: bool


class OwnVoices:
    """Chooses, registers and deletes voices.

    Raises:
        OviyaError: the folder of the settings cannot be used.
    """

    def __init__(self, mesh: Mesh, readiness: Readiness, settings: GatewaySettings) -> None:
        self._mesh, self._readiness = mesh, readiness
        self._temporary = TemporaryVoices(settings.max_sessions_per_client)
        folder = settings.voice_store
        self._kept = VoiceFolder(Path(folder), settings.max_kept_voices) if folder else None
        self._places = Quota("clips in check", CHECKS_AT_ONCE, settings.max_sessions_per_client)

    @property
    def keeps(self) -> bool:
        """Whether voices can be kept."""
        return self._kept is not None

    async def resolve(self, request: conversation_pb2.SetVoice, *, client: str | None = None) -> ChosenVoice:
        """Returns the voice that a caller chose.  A clip takes seconds.

        Args:
            client: the client that the check of a clip counts for; None: it counts only towards the total.

        Raises:
            InvalidInput: a field cannot be used; of a clip, the reason for its refusal.
            PermissionDenied: the registered voice does not exist, or has another token.
            Unsupported: the voice should be kept, and the gateway keeps none.
            Busy, Timeout, Unavailable: the clip cannot be checked or encoded now.
        """
        kind = request.WhichOneof("source")
        if request.keep_as and kind != "clip":
            raise InvalidInput(KEEP_FIELD, request.keep_as, "only a clip can be kept")
        match kind:
            case "speaker":
                if request.speaker > MAX_SPEAKER:
                    raise InvalidInput(SPEAKER_FIELD, request.speaker, f"must be 0 to {MAX_SPEAKER}")
                return ChosenVoice(request.speaker, None, conversation_pb2.VoiceSet())
            case "clip":
                return await self._resolve_clip(request, client)
            case "registered":
                voice = await self.find(request.registered, request.voice_token)
                answer = conversation_pb2.VoiceSet(
                    registered=voice.name, voice_token=request.voice_token, text=voice.text
                )
                return self._chosen(voice.text, voice.frames, answer)
            case _:
                raise InvalidInput("set_voice", "", "must be a speaker, a clip or a registered voice")

    async def register(
        self, clip: Clip, text: str, *, keep_as: str = "", consent: bool = False, client: str = ""
    ) -> VoiceReceipt:
        """Registers the voice of a clip, by name or for an hour.

        Args:
            text: what is said; empty: speech-to-text finds out.
            keep_as: name to keep it by; empty: it is not kept and gets a random name.
            consent: whether the person who speaks agrees to it being kept.
            client: the client that it counts for.

        Raises:
            InvalidInput, Unsupported, Busy, Timeout, Unavailable: as `resolve`.
        """
        self._check_keeping(keep_as, consent)
        text, frames = await self._prepare(clip, text, client)
        token = new_token()
        voice = RegisteredVoice(
            keep_as or secrets.token_urlsafe(12), hash_token(token), text, frames, self._readiness.codec, time.time()
        )
        if keep_as and self._kept is not None:
            await asyncio.to_thread(self._kept.add, voice)
        else:
            self._temporary.add(voice, client)
        return VoiceReceipt(voice, token, kept=bool(keep_as))

    async def find(self, name: str, token: str) -> RegisteredVoice:
        """Returns a registered voice.

        Raises:
            PermissionDenied: there is none of this name, or it has another token.
            InvalidInput: it belongs to another checkpoint.
        """
        voice = self._temporary.get(name)
        if voice is None and self._kept is not None:
            voice = await asyncio.to_thread(self._kept.get, name)
        if voice is None:
            raise denied()
        voice.check_token(token)
        self._check_voice_service()
        codec, codebooks = self._readiness.codec, self._readiness.codebooks
        if (voice.codec, voice.frames.codebooks) != (codec, codebooks):
            limit = f"its clip was encoded by {voice.codec} with {voice.frames.codebooks} codebooks, and {codec} with "
            hint = "register the clip again"
            raise InvalidInput(REGISTERED_FIELD, name, f"{limit}{codebooks} is served", hint=hint)
        return voice

    async def delete(self, name: str, token: str) -> None:
        """Deletes a registered voice.  Sessions that speak with it go on.

        Raises:
            PermissionDenied: there is none of this name, or it has another token.
        """
        temporary = self._temporary.get(name)
        kept = await asyncio.to_thread(self._kept.get, name) if self._kept is not None and temporary is None else None
        voice = temporary or kept
        if voice is None:
            raise denied()
        voice.check_token(token)
        if temporary is not None:
            self._temporary.remove(name)
        elif self._kept is not None:
            await asyncio.to_thread(self._kept.remove, name)

    async def _resolve_clip(self, request: conversation_pb2.SetVoice, client: str | None) -> ChosenVoice:
        given = request.clip
        clip = await asyncio.to_thread(read_clip, given.audio)
        if request.keep_as:
            receipt = await self.register(
                clip, given.text, keep_as=request.keep_as, consent=given.consent, client=client or ""
            )
            voice = receipt.voice
            answer = conversation_pb2.VoiceSet(registered=voice.name, voice_token=receipt.token, text=voice.text)
            return self._chosen(voice.text, voice.frames, answer)
        text, frames = await self._prepare(clip, given.text, client)
        return self._chosen(text, frames, conversation_pb2.VoiceSet(text=text))

    def _check_keeping(self, keep_as: str, consent: bool) -> None:
        if not keep_as:
            return
        if len(keep_as) > MAX_NAME_CHARS or not keep_as.isprintable() or not keep_as.strip():
            raise InvalidInput(KEEP_FIELD, keep_as, f"must be 1 to {MAX_NAME_CHARS} printable characters")
        if not consent:
            raise InvalidInput(CONSENT_FIELD, "false", "must be true to keep a voice", hint=CONSENT_HINT)
        if self._kept is None:
            hint = "set GATEWAY_VOICE_STORE to a folder, or leave the name empty to use the voice now"
            raise Unsupported("this gateway keeps no voices", hint=hint)

    def _check_voice_service(self) -> None:
        if (problem := self._readiness.voice_problem()) is not None:
            raise Unavailable(problem[0], problem[1], hint="the fallback voice cannot follow a clip")

    async def _prepare(self, clip: Clip, text: str, client: str | None) -> tuple[str, common_pb2.RvqFrames]:
        """Checks and encodes a clip; returns what is said in it and its frames."""
        if len(text) > MAX_CLIP_TEXT_CHARS:
            raise InvalidInput(TEXT_FIELD, f"{len(text)} characters", f"at most {MAX_CLIP_TEXT_CHARS} characters")
        self._check_voice_service()
        with self._places.hold(client):
            await asyncio.to_thread(check_sound, clip)
            transcript = await transcribe(self._mesh, clip)
            clip, text = await asyncio.to_thread(
                _check_and_fit, clip, transcript, text.strip(), self._readiness.max_positions
            )
            frames = await encode_clip(self._mesh, clip, self._readiness.codebooks)
        if not frames.codes:
            raise refused("empty", "no frames", "must hold sound")
        metrics.CLIPS.labels("accepted").inc()
        return text, frames

    def _chosen(self, text: str, frames: common_pb2.RvqFrames, answer: conversation_pb2.VoiceSet) -> ChosenVoice:
        known = self._readiness.speakers
        speaker = next(id for id in range(FIRST_OWN_SPEAKER, MAX_SPEAKER) if id not in known)
        reference = csm_pb2.ContextSegment(speaker=speaker, text=text, audio=frames, reference=True)
        return ChosenVoice(speaker, reference, answer)


def _check_and_fit(clip: Clip, transcript: ClipTranscript, text: str, max_positions: int) -> tuple[Clip, str]:
    """Checks what is said in a clip and by whom; returns the part to speak with and its text."""
    if not transcript.words or not transcript.speech:
        raise refused("no_words", "no words", "must hold speech", hint="record a sentence or two in a quiet room")
    if transcript.speech_s < MIN_SPEECH_S:
        limit = f"must hold at least {MIN_SPEECH_S:g} s of speech"
        raise refused("little_speech", f"{transcript.speech_s:.1f} s of speech", limit, hint="say a sentence more")
    check_background(clip, transcript.speech)
    check_one_speaker(clip.for_analysis())
    if text:
        check_text_matches(text, transcript)
    fitted, text = fit_clip(clip, transcript, text or transcript.text, max_positions)
    return levelled(fitted), text
