"""Requests to a served CSM, and what comes back."""

from __future__ import annotations

import numpy as np
from google.protobuf.duration_pb2 import Duration

from oviya.rvq import unpack_frames
from oviya.v1 import csm_pb2
from tests.support.waiting import until

AT_ONCE = Duration()
PACED = Duration(nanos=10_000_000)
HELLO = csm_pb2.GenerateRequest(
    text="Hello you.", sampling=csm_pb2.Sampling(seed=3), max_frames=6, lead=AT_ONCE, request_id="test"
)


def request(**changes) -> csm_pb2.GenerateRequest:
    """HELLO with some fields replaced."""
    kept = {field.name: value for field, value in HELLO.ListFields()}
    return csm_pb2.GenerateRequest(**(kept | changes))


async def speak(stub, asked: csm_pb2.GenerateRequest):
    """Codes (T, Q) of a request and its last message."""
    responses = [response async for response in stub.Generate(asked, timeout=60)]
    assert [response.WhichOneof("response") for response in responses] == ["frames"] * (len(responses) - 1) + ["end"]
    frames = [
        unpack_frames(response.frames, "frames", codebooks=8, codebook_size=512, max_frames=1)
        for response in responses[:-1]
    ]
    return np.concatenate(frames), responses[-1].end


async def free(served) -> None:
    """Waits until no slot is used."""
    await until(lambda: not served.service.engine.slots_used, within_s=20)


def context(codes: list[int], codebooks: int = 8, *, reference: bool = False) -> csm_pb2.ContextSegment:
    segment = csm_pb2.ContextSegment(text="Before.", reference=reference)
    segment.audio.codebooks = codebooks
    segment.audio.codes.extend(codes)
    return segment
