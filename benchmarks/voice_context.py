"""Whether replies keep their voice while the context holds what the user said.

    python -m benchmarks.voice_context [--turns 10] [--contexts replies,text,sound] [--json FILE]

holds a conversation with each voice of the demo checkpoint, and with voices of reference clips.  Every other user is the
speaker of the human prompts, the others are a voice of flite.  Replies are held-out sentences.  Prints, for each kind of
context, how many replies are nearest to the voice that was asked for, by the measure of `benchmarks.demo_voice`, and
their word error rate.  The contexts are the replies alone, and the user's turns as text or as text and sound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.demo_voice import CLIP_TEXT, HELD_OUT_TEXTS, DemoVoice, error_rate, synthesize
from benchmarks.demo_voice_measures import RATE_HZ, Sound, Speakers, recognize
from benchmarks.report import parser_for, print_table, write_json
from oviya.audio.resample import Resampler
from oviya.model.checkpoint import shipped_checkpoint
from oviya.rvq import pack_frames, unpack_frames
from oviya.v1 import csm_pb2
from services.csm.request.prompt import Segment
from services.gateway.voice.voice_context import VoiceContext
from tests.support.human_speech import prompts, read_prompt
from training.demo_voice.voices import ANONYMOUS_IDS, HELD_OUT, SPEAKERS, Voice

LINES = (
    "The old house stood near the river.", "I would like a cup of tea, please.", "They laughed all the way.",
    "What did you do over the summer?", "You can always ask me again.",
)  # fmt: skip
"""What the voices of the measure say."""
CLIP_SPEAKER = ANONYMOUS_IDS[0]
"""Speaker id of a reference clip's voice."""
USER_S = (1.5, 8.0)
"""Shortest and longest turn of the human user, in seconds."""
HUMAN_HZ = 16_000
CONTEXTS = ("replies", "text", "sound")
FIGURES = ("own_voices_percent", "clip_voices_percent", "word_error_percent")
FLITE_USER = Voice("rms", 1.04, 118.0)
FIRST_STEP = 7
"""Each conversation begins so many sentences further in the list."""


@dataclass(frozen=True, eq=False)
class Target:
    """A voice to speak with: a speaker id, and the reference clip of a voice that the checkpoint does not know."""

    name: str
    speaker: int
    reference: Segment | None = None


@dataclass(frozen=True)
class User:
    """What a user says: text and sound at 24 kHz by the number of the turn."""

    name: str
    turn: Callable[[int], tuple[str, Sound]]


def human() -> User:
    """Returns the speaker of the human prompts."""
    said = [(prompt.text, read_prompt(prompt.name)) for prompt in prompts()]
    said = [(text, sound) for text, sound in said if USER_S[0] <= len(sound) / HUMAN_HZ <= USER_S[1]]

    def turn(number: int) -> tuple[str, Sound]:
        text, sound = said[number % len(said)]
        resampler = Resampler(HUMAN_HZ, RATE_HZ)
        return text, np.concatenate((resampler.push(sound), resampler.flush()))

    return User("human", turn)


def flite(voice: Voice, texts: list[str]) -> User:
    """Returns a user with a voice of flite."""
    return User("flite", lambda number: (texts[number % len(texts)], synthesize(texts[number % len(texts)], voice)))


def reply_texts() -> list[str]:
    """Returns what is replied; the other held-out sentences are the users'."""
    return HELD_OUT_TEXTS.read_text(encoding="utf-8").splitlines()[:100]


@dataclass
class Conversation:
    """One conversation: `turns` turns of the user and as many replies of one sentence."""

    voice: DemoVoice
    target: Target
    user: User
    kind: str
    turns: int
    texts: list[str]
    user_speaker: int | None
    first: int

    async def run(self) -> list[Sound]:
        """Returns the sound of the replies."""
        context, replies = VoiceContext(5), []
        for turn in range(self.turns):
            if self.kind != "replies":
                text, sound = self.user.turn(self.first + turn)
                context.add_user(turn, text)
                if self.kind == "sound":
                    frames = await asyncio.to_thread(self.voice.encode, sound)
                    context.add_user_sound(turn, pack_frames(frames))
            text = self.texts[(self.first + turn) % len(self.texts)]
            segments = [self._segment(each) for each in context.segments(self.target.speaker, SPEAKERS)]
            reference, clip = self.target.reference, "neutral" if self.target.reference is None else ""
            request = self.voice.request(
                text, self.target.speaker, self.first + turn, reference_clip=clip,
                context=(*([reference] if reference else []), *segments),
            )  # fmt: skip
            codes = await self.voice.generate(request)
            context.add_sentence(turn, self.target.speaker, text, pack_frames(codes))
            replies.append(await asyncio.to_thread(self.voice.decode, codes))
        return replies

    def _segment(self, segment: csm_pb2.ContextSegment) -> Segment:
        speaker = segment.speaker
        if self.user_speaker is not None and speaker not in (self.target.speaker, *SPEAKERS):
            speaker = self.user_speaker
        codes = unpack_frames(segment.audio, "audio", codebooks=None, codebook_size=512, max_frames=9000) if segment.HasField("audio") else None
        return Segment(speaker, segment.text, codes)


async def hold(voice: DemoVoice, kind: str, turns: int, user_speaker: int | None) -> dict[Target, list[Sound]]:
    """Holds all conversations with one kind of context; returns the sound of the replies."""
    texts = reply_texts()
    users = (human(), flite(FLITE_USER, HELD_OUT_TEXTS.read_text(encoding="utf-8").splitlines()[100:]))
    targets = [Target(str(number), number) for number in SPEAKERS]
    for name, of in HELD_OUT.items():
        clip = voice.encode(synthesize(CLIP_TEXT, of))
        targets.append(Target(name, CLIP_SPEAKER, Segment(CLIP_SPEAKER, CLIP_TEXT, clip, reference=True)))
    free = asyncio.Semaphore(4)

    async def one(index: int, target: Target) -> list[Sound]:
        async with free:
            user = users[(index + index // 4) % 2]
            return await Conversation(voice, target, user, kind, turns, texts, user_speaker, FIRST_STEP * index).run()

    sounds = await asyncio.gather(*(one(index, target) for index, target in enumerate(targets)))
    return dict(zip(targets, sounds, strict=True))


def measure(voice: DemoVoice, contexts: list[str], turns: int, user_speaker: int | None) -> dict[str, Any]:
    """Returns the figures of each kind of context."""
    voices = {str(number): of for number, of in SPEAKERS.items()} | HELD_OUT | {"user flite": FLITE_USER}
    samples = {name: [voice.decode(voice.encode(synthesize(line, of))) for line in LINES] for name, of in voices.items()}
    said = human()
    samples["user human"] = [voice.decode(voice.encode(said.turn(number)[1])) for number in range(len(LINES))]
    speakers, texts = Speakers(samples), reply_texts()
    figures: dict[str, Any] = {}
    for kind in contexts:
        replies = asyncio.run(hold(voice, kind, turns, user_speaker))
        found = {target: [speakers.nearest(sound) for sound in sounds] for target, sounds in replies.items()}
        own, clips = (
            [name == target.name for target, names in found.items() for name in names if (target.reference is None) is known]
            for known in (True, False)
        )
        said_texts = [texts[(FIRST_STEP * index + turn) % len(texts)] for index in range(len(replies)) for turn in range(turns)]
        heard = [recognize(sound) for sounds in replies.values() for sound in sounds]
        figures[kind] = {
            "own_voices_percent": 100 * float(np.mean(own)),
            "clip_voices_percent": 100 * float(np.mean(clips)),
            "word_error_percent": error_rate(heard, said_texts),
            "found": {target.name: names for target, names in found.items()},
        }
        print(kind, figures[kind])
    return figures


def main() -> None:
    """Holds the conversations."""
    parser = parser_for("voice_context", __doc__)
    parser.add_argument("--turns", type=int, default=10, help="turns of the user in a conversation")
    parser.add_argument("--contexts", default=",".join(CONTEXTS), help=f"some of {', '.join(CONTEXTS)}")
    parser.add_argument("--user-speaker", type=int, default=None, help="speaker id of the user")
    options = parser.parse_args()
    torch.set_num_threads(1)
    voice = DemoVoice(shipped_checkpoint("demo-csm"), shipped_checkpoint("demo-mimi"), None)
    figures = measure(voice, options.contexts.split(","), options.turns, options.user_speaker)
    rows = [
        (kind, *(f"{figures[kind][name]:.1f}" for name in FIGURES)) for kind in figures
    ]
    print_table("replies in the voice that was asked for", ("context", *(name.replace("_", " ") for name in FIGURES)), rows)
    write_json(options.json, figures)


if __name__ == "__main__":
    main()
