"""Whether replies keep their voice while the context holds what the user said.

    python -m benchmarks.voice_context [--turns 10] [--contexts replies,gateway] [--voices own,clip] [--json FILE]

holds conversations with the demo checkpoints: with each of their own voices, and with voices that they do not know,
which a reference clip under an unknown speaker id gives.  Users are the speaker of the human prompts and a voice of
flite; replies are held-out sentences.  `--contexts` chooses what the context holds: `replies` only, also the user's
turns as `text`, or as text and `sound`, or with sound where the `gateway` sends it.  Prints how many replies are
nearest to the voice that was asked for, or to a user's, by the measure of `benchmarks.demo_voice`, the word error rate,
and the positions of a prompt that were not in the prefix cache.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.demo_voice import CLIP_TEXT, HELD_OUT_TEXTS, DemoVoice, error_rate, synthesize
from benchmarks.demo_voice_measures import RATE_HZ, Sound, Speakers, recognize
from benchmarks.report import parser_for, print_table, write_json
from oviya.audio.resample import Resampler
from oviya.model.checkpoint import shipped_checkpoint
from oviya.rvq import Codes, pack_frames
from oviya.v1 import csm_pb2
from services.csm.request.prompt import Segment
from services.gateway.voice.voice_context import VoiceContext
from tests.support.human_speech import prompts, read_prompt
from training.demo_voice.voices import ANONYMOUS_IDS, HELD_OUT, SPEAKERS, Voice

LINES = (
    "The old house stood near the river.", "I would like a cup of tea, please.", "They laughed all the way.",
    "What did you do over the summer?", "You can always ask me again.",
)  # fmt: skip
"""What the voices that are compared with say."""
FLITE_USER = Voice("rms", 1.04, 118.0)
CLIP_SPEAKER = ANONYMOUS_IDS[0]
"""Speaker id of a clip's voice."""
CONTEXT_TURNS = 5
"""Default of GATEWAY_VOICE_CONTEXT_TURNS."""
USER_TURN_S = (1.5, 8.0)
"""Shortest and longest human prompt that is used, in seconds."""
HUMAN_HZ = 16_000
REPLIES = 100
"""Held-out sentences that are replies; the others are the flite user's."""
STEP = 7
"""Each conversation begins so many sentences further in the lists."""
CONTEXTS = ("replies", "text", "sound", "gateway")
"""What a context holds: replies, also the user's text, also the sound, or the sound where the gateway sends it."""
FIGURES = (
    "own_voice_kept_percent",
    "clip_voice_kept_percent",
    "users_voice_percent",
    "word_error_percent",
    "prefilled_positions",
)


@dataclass(frozen=True, eq=False)
class Target:
    """A voice to speak with; one that the checkpoint does not know has a reference clip."""

    name: str
    speaker: int
    reference: Segment | None = None


@dataclass(frozen=True, eq=False)
class User:
    """A user: the text and the sound at 24 kHz of the turn with a given number."""

    name: str
    turn: Callable[[int], tuple[str, Sound]]


@dataclass(frozen=True, eq=False)
class Reply:
    """A reply's sound, and the positions of its prompt that CSM had to prefill."""

    sound: Sound
    prefilled: int


@dataclass(frozen=True, eq=False)
class Conversation:
    """One conversation; reply `turn` says `texts[(first + turn) % len(texts)]`."""

    target: Target
    user: User
    first: int

    async def hold(self, voice: DemoVoice, kind: str, turns: int) -> list[Reply]:
        """Returns the replies.

        Args:
            kind: what the context holds, of `CONTEXTS`.
            turns: number of turns of each side.
        """
        context, replies, target = VoiceContext(CONTEXT_TURNS), list[Reply](), self.target
        for turn in range(turns):
            if kind != "replies":
                text, sound = self.user.turn(self.first + turn)
                context.add_user(turn, text)
                if kind != "text":
                    context.add_user_sound(turn, pack_frames(await asyncio.to_thread(voice.encode, sound)))
            known = SPEAKERS if kind == "gateway" else {*SPEAKERS, target.speaker}
            segments = [_unpacked(segment) for segment in context.segments(target.speaker, known)]
            text = reply_texts()[(self.first + turn) % REPLIES]
            request = voice.request(
                text, target.speaker, self.first + turn, reference_clip="" if target.reference else "neutral",
                context=(*([target.reference] if target.reference else []), *segments),
            )  # fmt: skip
            codes, end = await voice.generate(request)
            context.add_sentence(turn, target.speaker, text, pack_frames(codes))
            sound = await asyncio.to_thread(voice.decode, codes)
            replies.append(Reply(sound, end.prompt_positions - end.cached_positions))
        return replies


def _unpacked(segment: csm_pb2.ContextSegment) -> Segment:
    codes: Codes | None = None
    if segment.HasField("audio"):
        codes = np.array(segment.audio.codes, np.int64).reshape(-1, segment.audio.codebooks)
    return Segment(segment.speaker, segment.text, codes)


def reply_texts() -> list[str]:
    """Returns what the replies say."""
    return HELD_OUT_TEXTS.read_text(encoding="utf-8").splitlines()[:REPLIES]


def users() -> list[User]:
    """Returns the users."""
    said = [(prompt.text, read_prompt(prompt.name)) for prompt in prompts()]
    said = [(text, sound) for text, sound in said if USER_TURN_S[0] <= len(sound) / HUMAN_HZ <= USER_TURN_S[1]]
    texts = HELD_OUT_TEXTS.read_text(encoding="utf-8").splitlines()[REPLIES:]

    def human(number: int) -> tuple[str, Sound]:
        text, sound = said[number % len(said)]
        resampler = Resampler(HUMAN_HZ, RATE_HZ)
        return text, np.concatenate((resampler.push(sound), resampler.flush()))

    def flite(number: int) -> tuple[str, Sound]:
        text = texts[number % len(texts)]
        return text, synthesize(text, FLITE_USER)

    return [User("user human", human), User("user flite", flite)]


def conversations(voice: DemoVoice, voices: Sequence[str]) -> list[Conversation]:
    """Returns the conversations: own voices with the users in turn, the clips' voices with each user."""
    pairs: list[tuple[Target, User]] = []
    human_and_flite = users()
    if "own" in voices:
        pairs += [(Target(str(n), n), human_and_flite[n // 2 % 2]) for n in SPEAKERS]
    if "clip" in voices:
        for name, of in HELD_OUT.items():
            clip = Segment(CLIP_SPEAKER, CLIP_TEXT, voice.encode(synthesize(CLIP_TEXT, of)), reference=True)
            pairs += [(Target(name, CLIP_SPEAKER, clip), user) for user in human_and_flite]
    return [Conversation(target, user, STEP * number) for number, (target, user) in enumerate(pairs)]


def speakers(voice: DemoVoice) -> Speakers:
    """Returns what the replies are compared with: all voices, and the users, after the codec."""
    of_name = {str(number): of for number, of in SPEAKERS.items()} | HELD_OUT
    samples = {
        name: [voice.decode(voice.encode(synthesize(line, of))) for line in LINES] for name, of in of_name.items()
    }
    for user in users():
        samples[user.name] = [voice.decode(voice.encode(user.turn(number)[1])) for number in range(len(LINES))]
    return Speakers(samples)


async def hold_all(held: Sequence[Conversation], *arguments: Any) -> list[list[Reply]]:
    """Holds all conversations, four at a time."""
    free = asyncio.Semaphore(4)

    async def one(conversation: Conversation) -> list[Reply]:
        async with free:
            return await conversation.hold(*arguments)

    return await asyncio.gather(*map(one, held))


def measure(voice: DemoVoice, kind: str, turns: int, voices: Sequence[str]) -> dict[str, Any]:
    """Returns the figures of one kind of context."""
    held = conversations(voice, voices)
    all_replies = asyncio.run(hold_all(held, voice, kind, turns))
    replies = [reply for replies in all_replies for reply in replies]
    nearest = speakers(voice).nearest
    found = [[nearest(reply.sound) for reply in replies] for replies in all_replies]
    kept: dict[bool, list[bool]] = {True: [], False: []}
    for conversation, names in zip(held, found, strict=True):
        kept[conversation.target.reference is None] += [name == conversation.target.name for name in names]
    said = [reply_texts()[(each.first + turn) % REPLIES] for each in held for turn in range(turns)]
    return {
        "own_voice_kept_percent": _percent(kept[True]),
        "clip_voice_kept_percent": _percent(kept[False]),
        "users_voice_percent": _percent([name.startswith("user") for names in found for name in names]),
        "word_error_percent": error_rate([recognize(reply.sound) for reply in replies], said),
        "prefilled_positions": float(np.mean([reply.prefilled for reply in replies])),
        "found": {f"{each.target.name}, {each.user.name}": names for each, names in zip(held, found, strict=True)},
    }


def _percent(signs: Sequence[bool]) -> float:
    return 100 * float(np.mean(signs)) if signs else float("nan")


def main() -> None:
    """Holds the conversations with each kind of context."""
    parser = parser_for("voice_context", __doc__)
    parser.add_argument("--turns", type=int, default=10, help="turns of each side in a conversation")
    parser.add_argument("--contexts", default=",".join(CONTEXTS), help=f"some of {', '.join(CONTEXTS)}")
    parser.add_argument("--voices", default="own,clip", help="own, clip or both")
    options = parser.parse_args()
    torch.set_num_threads(1)
    voice = DemoVoice(shipped_checkpoint("demo-csm"), shipped_checkpoint("demo-mimi"), None)
    voices = options.voices.split(",")
    figures = {kind: measure(voice, kind, options.turns, voices) for kind in options.contexts.split(",")}
    rows = [(kind, *(f"{found[name]:.1f}" for name in FIGURES)) for kind, found in figures.items()]
    print_table("voices of the replies", ("context", *(name.replace("_", " ") for name in FIGURES)), rows)
    write_json(options.json, figures)


if __name__ == "__main__":
    main()
