"""The voice of CSM and Mimi: text to RVQ frames to sound, each step streaming into the next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

from grpc import aio

from oviya.audio.pcm import Pcm, decode_pcm
from oviya.audio.resample import Resampler
from oviya.durations import duration
from oviya.errors import Unavailable
from oviya.streams import wait_for
from oviya.tasks import cancel_and_wait
from oviya.v1 import common_pb2, csm_pb2, mimi_pb2
from oviya.writing import half_close, write
from services.gateway.settings import GatewaySettings
from services.gateway.upstream.clients import Mesh, read_fed, typed_errors
from services.gateway.upstream.readiness import Readiness
from services.gateway.voice.segment import CSM, VOICE_RATE_HZ, Segment

OnFrames = Callable[[common_pb2.RvqFrames], None]


@dataclass
class CsmVoice:
    """Speaks with one Generate and one Decode call a sentence."""

    mesh: Mesh
    readiness: Readiness
    settings: GatewaySettings

    async def speak(self, segment: Segment, on_frames: OnFrames) -> AsyncGenerator[Pcm, None]:
        """Yields the sentence's sound as it is generated, at `VOICE_RATE_HZ`.

        Args:
            on_frames: called with RVQ frames as CSM generates them.

        Raises:
            Busy: every slot of CSM or Mimi is taken.
            Unavailable: one of them cannot be reached, broke off, or generated no sound.
            Timeout: the sound stalled.
        """
        settings = self.settings
        generation = self.mesh.csm.Generate(self._request(segment), timeout=settings.csm_total_s)
        decoding = self.mesh.mimi.Decode(timeout=settings.csm_total_s)
        feeding = asyncio.create_task(_feed(generation, decoding, on_frames))
        csm_only = segment.options.voice == CSM
        stall_s, has_sound = settings.csm_alone_s if csm_only else settings.csm_first_s, False
        resampler, rate_hz = None, 0
        try:
            while (audio := await _next_audio(decoding, feeding, stall_s)) is not None:
                samples = decode_pcm(audio.pcm, audio.format.encoding, "mimi.audio")
                if resampler is None or audio.format.sample_rate_hz != rate_hz:
                    rate_hz = audio.format.sample_rate_hz
                    resampler = Resampler(rate_hz, VOICE_RATE_HZ)
                yield resampler.push(samples)
                stall_s = settings.csm_alone_s if csm_only else settings.csm_stall_s
                has_sound = has_sound or len(samples) > 0
            await feeding
            if resampler is not None:
                yield resampler.flush()
        finally:
            generation.cancel()
            decoding.cancel()
            await cancel_and_wait(feeding)
        if not has_sound:
            raise Unavailable("csm", "made no sound for a sentence")

    def _request(self, segment: Segment) -> csm_pb2.GenerateRequest:
        plan, options, known = segment.plan, segment.options, self.readiness
        has_clip = plan.reference_clip in known.reference_clips and options.speaker in known.speakers
        references = [options.reference] if options.reference is not None else []
        return csm_pb2.GenerateRequest(
            text=segment.prompt_text,
            speaker=options.speaker,
            context=[*references, *segment.context],
            sampling=csm_pb2.Sampling(temperature=plan.temperature, seed=segment.seed),
            style=plan.style if plan.style in known.styles else "",
            reference_clip=plan.reference_clip if has_clip else "",
            lead=duration(options.lead_s),
        )


async def _feed(generation: Any, decoding: Any, on_frames: OnFrames) -> None:
    """Passes RVQ frames on to the decoder as they arrive.

    Returns where the decoder has ended; its reader gets the reason.  If CSM fails, the decoder is cancelled, so that
    its reader wakes up and finds the reason in this task.
    """
    try:
        with typed_errors("csm"):
            while (response := await generation.read()) is not aio.EOF:
                if response.WhichOneof("response") == "frames":
                    on_frames(response.frames)
                    if not await write(decoding, mimi_pb2.DecodeRequest(frames=response.frames)):
                        return
        await half_close(decoding)
    except BaseException:
        decoding.cancel()
        raise


async def _next_audio(decoding: Any, feeding: asyncio.Task[None], stall_s: float) -> common_pb2.Audio | None:
    """Returns the decoder's next sound, or None at its end.

    Raises:
        OviyaError: CSM's failure where it has one, otherwise the decoder's.
    """
    message = f"csm and mimi: no sound came for {stall_s:g} s"
    response = await wait_for(read_fed(decoding, feeding, "mimi"), stall_s, message)
    return None if response is aio.EOF else response.audio
