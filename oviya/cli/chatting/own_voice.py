"""The voice of a clip, or one that is kept at the gateway."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import typer

from oviya.audio.pcm import Pcm
from oviya.cli.files import read_recording
from oviya.cli.output import Output
from oviya.cli.tokens import store_voice_token, tokens_file, voice_token
from oviya.client import Conversation, VoiceSet
from oviya.errors import InvalidInput

CLIP_RATE_HZ = 24_000
"""Rate of the voice; a clip of a higher rate gains nothing."""
LONGEST_CLIP_S = 60.0
"""Longest clip in seconds that is sent: twice what the gateway accepts, which says what is wrong with it."""
CONSENT = "Does the person who speaks in {clip} agree that the voice is kept as {name!r} and spoken with?"


@dataclass(frozen=True, slots=True)
class OwnVoice:
    """A chosen voice; without `clip` and `kept` there is none."""

    output: Output
    address: str
    clip: tuple[Pcm, int] | None = None
    keep_as: str = ""
    kept: str = ""

    @staticmethod
    def choose(output: Output, address: str, *, clip: Path | None, keep_as: str, consent: bool, kept: str) -> OwnVoice:
        """Reads the clip and asks for consent where it is to be kept.

        Raises:
            InvalidInput: the options contradict each other, consent was not given, or the clip cannot be read.
        """
        if clip is not None and kept:
            raise InvalidInput("own-voice", kept, "cannot be combined with --clip")
        if clip is None:
            if keep_as:
                raise InvalidInput("keep-as", keep_as, "needs --clip")
            return OwnVoice(output, address, kept=kept)
        if keep_as and not consent:
            question = CONSENT.format(clip=clip, name=keep_as)
            if not sys.stdin.isatty() or not typer.confirm(question, err=True):
                raise InvalidInput("keep-as", keep_as, "needs the consent of the person in the clip", hint="--consent")
        sound = read_recording(clip, max_rate_hz=CLIP_RATE_HZ, max_duration_s=LONGEST_CLIP_S)
        return OwnVoice(output, address, clip=sound, keep_as=keep_as)

    async def set(self, conversation: Conversation) -> None:
        """Asks the gateway to speak with the voice."""
        if self.clip is not None:
            await conversation.set_voice(clip=self.clip, keep_as=self.keep_as, consent=bool(self.keep_as))
        elif self.kept:
            await conversation.set_voice(registered=self.kept, voice_token=voice_token(self.address, self.kept))

    def keep(self, event: VoiceSet) -> None:
        """Stores the token of a voice that was kept."""
        if not self.keep_as or not event.voice_token:
            return
        try:
            store_voice_token(self.address, event.registered, event.voice_token)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            self.output.text(
                ("voice  ", "bold"), f"{event.registered}; its token, which could not be stored ({reason}): ",
                event.voice_token,
            )  # fmt: skip
        else:
            self.output.text(("voice  ", "bold"), f"{event.registered} is kept; its token is in {tokens_file()}")
