"""Whether the voice of a clip is followed by the reply, with the demo checkpoint.

    python -m benchmarks.talk_voice [--sentences 25] [--json FILE]

starts speech-to-text, CSM and Mimi.  Clips of voices that the checkpoint was not trained on go through the gateway's
code: they are checked, transcribed, cut and encoded, and CSM speaks held-out sentences with them.  A sentence counts as
followed if the nearest of twelve voices is that of the clip, by the measure of `benchmarks.demo_voice`.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.demo_voice import HELD_OUT_TEXTS, synthesize
from benchmarks.demo_voice_measures import RATE_HZ, Sound, Speakers
from benchmarks.report import parser_for, print_table, quiet_logs, write_json
from oviya.audio.pcm import S16LE, audio_message, decode_pcm
from oviya.cli.local.plan import plan_on_free_ports
from oviya.cli.local.supervisor import LocalMesh
from oviya.mesh.background import BackgroundLoops
from oviya.text.languages import Language
from oviya.v1 import common_pb2, conversation_pb2, csm_pb2, mimi_pb2
from services.gateway.own_voice.clip import Clip
from services.gateway.own_voice.encoding import encode_clip
from services.gateway.own_voice.own_voices import ChosenVoice, OwnVoices
from services.gateway.settings import GatewaySettings
from services.gateway.upstream.clients import Mesh
from services.gateway.upstream.readiness import Readiness
from services.gateway.voice.csm import CsmVoice
from services.gateway.voice.segment import CSM, NEUTRAL_PLAN, Segment, SpeechOptions
from training.demo_voice.voices import HELD_OUT, SPEAKERS, Voice

SERVICES = ("stt", "csm", "mimi")
SHORT = ("My brother called, and he told me about the garden.", "We walked to the lake, and back before it rained.")
LONG = (
    *SHORT,
    "She left her bag on the train, but somebody found it.",
    "I have not been there for a long time, and I would like to see it again.",
    "The shop on the corner closes early on Sunday.",
)
PROBES = (
    "The old house stood near the river.",
    "I would like a cup of tea, please.",
    "They laughed all the way.",
    "What did you do over the summer?",
    "You can always ask me again.",
)
PAUSE_S = 0.35
AT_ONCE = 2
READY_S, CALL_S = 60.0, 120.0
ENGLISH = Language("en", "English")


class Speaking:
    """The gateway's parts that speak with a clip, in this process, against services that run."""

    def __init__(self, mesh: Mesh, readiness: Readiness, settings: GatewaySettings) -> None:
        self._mesh, self._codebooks = mesh, readiness.codebooks
        self._voices = OwnVoices(mesh, readiness, settings)
        self._csm = CsmVoice(mesh, readiness, settings)
        self._free = asyncio.Semaphore(AT_ONCE)

    async def choose(self, clip: Sound) -> ChosenVoice:
        """Gives a clip, as set_voice does."""
        audio = audio_message(clip, common_pb2.AudioFormat(encoding=S16LE, sample_rate_hz=RATE_HZ))
        return await self._voices.resolve(conversation_pb2.SetVoice(clip=conversation_pb2.VoiceClip(audio=audio)))

    async def through_codec(self, sound: Sound) -> Sound:
        """Encodes a sound with Mimi and decodes it again."""
        async with self._free:
            frames = await encode_clip(self._mesh, Clip(sound, RATE_HZ), self._codebooks)
            call = self._mesh.mimi.Decode(timeout=CALL_S)
            await call.write(mimi_pb2.DecodeRequest(frames=frames))
            await call.done_writing()
            return np.concatenate([decode_pcm(it.audio.pcm, it.audio.format.encoding, "mimi") async for it in call])

    async def say(self, text: str, speaker: int, reference: csm_pb2.ContextSegment | None, seed: int) -> Sound:
        """Speaks a sentence; returns its sound at 24 kHz."""
        options = SpeechOptions(CSM, speaker, seed=seed, reference=reference)
        async with self._free:
            segment = Segment(0, text, text, ENGLISH, NEUTRAL_PLAN, CSM, options, [])
            return np.concatenate([piece async for piece in self._csm.speak(segment, lambda _: None)])


@asynccontextmanager
async def speaking(addresses: Mapping[str, str]) -> AsyncIterator[Speaking]:
    """Connects to the services and waits until they are ready."""
    named = {f"{name}_address": addresses[name] for name in SERVICES}
    settings = GatewaySettings(**named, csm_alone_s=120, csm_total_s=600)  # pyright: ignore[reportArgumentType]
    mesh = Mesh(settings)
    readiness = Readiness(mesh, settings)
    loops = BackgroundLoops()
    readiness.start(loops)
    try:
        async with asyncio.timeout(READY_S):
            while readiness.voice_problem() is not None or not readiness.is_serving("stt"):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        yield Speaking(mesh, readiness, settings)
    finally:
        await loops.close()
        await readiness.close()
        await mesh.close()


def clip_of(voice: Voice, texts: tuple[str, ...]) -> Sound:
    """Speaks several sentences with the synthesizer of the demo voice, with a pause after each."""
    pause = np.zeros(round(PAUSE_S * RATE_HZ), np.float32)
    return np.concatenate([piece for text in texts for piece in (synthesize(text, voice), pause)])


async def measure_async(addresses: Mapping[str, str], sentences: int = 25) -> dict[str, Any]:
    """Measures with services that run; `addresses` has host:port of "stt", "csm" and "mimi"."""
    texts = HELD_OUT_TEXTS.read_text("utf-8").splitlines()
    texts = texts[:: max(1, len(texts) // sentences)][:sentences]
    everybody = {**{str(number): voice for number, voice in SPEAKERS.items()}, **HELD_OUT}
    async with speaking(addresses) as speech:
        speakers = Speakers(
            {
                name: [await speech.through_codec(synthesize(text, voice)) for text in PROBES]
                for name, voice in everybody.items()
            }
        )
        chosen = {
            (name, kind): await speech.choose(clip_of(voice, said))
            for name, voice in HELD_OUT.items()
            for kind, said in (("short", SHORT), ("long", LONG))
        }
        jobs = [
            (name, ("short", "long")[(seed + number) % 2], text, seed)
            for number, name in enumerate(HELD_OUT)
            for seed, text in enumerate(texts)
        ]
        sounds = await asyncio.gather(
            *(
                speech.say(text, chosen[name, kind].speaker, chosen[name, kind].reference, seed)
                for name, kind, text, seed in jobs
            )
        )
    followed = [
        (name, kind, speakers.nearest(sound) == name) for (name, kind, *_), sound in zip(jobs, sounds, strict=True)
    ]
    return {
        "voice_followed_percent": _percent([right for _, _, right in followed]),
        "voice_followed_percent_by_clip": {
            kind: _percent([right for _, of, right in followed if of == kind]) for kind in ("short", "long")
        },
        "voice_followed_percent_by_voice": {
            name: _percent([right for of, _, right in followed if of == name]) for name in HELD_OUT
        },
        "sentences": len(followed),
        "heard": {f"{name} {kind}": voice.answer.text for (name, kind), voice in chosen.items()},
    }


def measure(addresses: Mapping[str, str], sentences: int = 25) -> dict[str, Any]:
    """Measures with services that run.

    Args:
        addresses: host:port of "stt", "csm" and "mimi".
        sentences: sentences to speak with each of the four voices.
    """
    return asyncio.run(measure_async(addresses, sentences))


def _percent(decisions: Sequence[bool]) -> float:
    return 100 * float(np.mean(decisions)) if decisions else float("nan")


def main() -> None:
    parser = parser_for("talk_voice", __doc__)
    parser.add_argument("--sentences", type=int, default=25, help="sentences to speak with each of the four voices")
    options = parser.parse_args()
    quiet_logs()
    with tempfile.TemporaryDirectory() as folder, LocalMesh(plan_on_free_ports(), Path(folder)) as mesh:
        mesh.start(SERVICES)
        mesh.wait_ready(180, SERVICES)
        figures = measure({name: mesh.plan.address(name) for name in SERVICES}, options.sentences)
    rows = [("all", f"{figures['voice_followed_percent']:.0f} %")]
    for group in ("clip", "voice"):
        rows += [(name, f"{value:.0f} %") for name, value in figures[f"voice_followed_percent_by_{group}"].items()]
    print_table(f"voice of a clip followed, {figures['sentences']} sentences", ("clips", "followed"), rows)
    write_json(options.json, figures)


if __name__ == "__main__":
    main()
