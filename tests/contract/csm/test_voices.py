"""Reference clips and speakers that ship with a checkpoint, over a real port."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from grpc import aio

from oviya.errors import CheckpointError, InvalidInput
from oviya.rvq import pack_frames
from oviya.status import error_from_rpc
from oviya.v1 import csm_pb2, csm_pb2_grpc
from services.csm.request.voices import VOICES_FILE
from services.csm.server import CsmService
from services.csm.settings import CsmSettings
from tests.support.checkpoints.csm import write_checkpoint
from tests.support.serving import serve_for_test

CODES = np.random.default_rng(5).integers(1, 512, (12, 8))
CLIP = {"name": "calm", "speaker": 0, "text": "A clip.", "codes": CODES.tolist()}
VOICES = {"speakers": [{"id": 0, "name": "clear"}, {"id": 3, "name": "deep"}], "clips": [CLIP]}


def write_voices(folder: Path, fields: object = VOICES) -> Path:
    write_checkpoint(folder)
    (folder / VOICES_FILE).write_text(json.dumps(fields))
    return folder


@pytest_asyncio.fixture
async def stub(tmp_path):
    service = CsmService(CsmSettings(checkpoint=str(write_voices(tmp_path / "voices")), slots=2))
    async with serve_for_test(service) as served, aio.insecure_channel(served.address) as channel:
        yield csm_pb2_grpc.CsmServiceStub(channel)


async def speak(stub, **changes) -> list[list[int]]:
    request = csm_pb2.GenerateRequest(
        text="Hello you.", sampling=csm_pb2.Sampling(seed=3), max_frames=5, lead=Duration(), **changes
    )
    return [list(r.frames.codes) async for r in stub.Generate(request, timeout=60) if r.HasField("frames")]


async def refused(stub, **changes) -> InvalidInput:
    with pytest.raises(aio.AioRpcError) as caught:
        await speak(stub, **changes)
    error = error_from_rpc(caught.value, "csm")
    assert isinstance(error, InvalidInput)
    return error


async def test_get_model_lists_speakers_and_clips(stub):
    model = await stub.GetModel(csm_pb2.CsmServiceGetModelRequest())
    assert [(speaker.id, speaker.name) for speaker in model.speakers] == [(0, "clear"), (3, "deep")]
    assert list(model.reference_clips) == ["calm"]


async def test_a_clip_by_name_is_the_same_as_the_clip_in_the_context(stub):
    clip = csm_pb2.ContextSegment(speaker=0, text="A clip.", audio=pack_frames(CODES), reference=True)
    turn = csm_pb2.ContextSegment(speaker=0, text="Before.")
    named = await speak(stub, reference_clip="calm", context=[turn])
    assert named == await speak(stub, context=[clip, turn])
    assert named != await speak(stub, context=[turn])


async def test_a_clip_that_is_not_there_is_refused_and_the_next_call_works(stub):
    error = await refused(stub, reference_clip="clam")
    assert (error.field, error.suggestions) == ("reference_clip", ("calm",))
    error = await refused(stub, reference_clip="calm", speaker=3)
    assert error.field == "speaker"
    assert len(await speak(stub, reference_clip="calm")) == 5


async def test_without_voices_a_clip_is_refused(tmp_path):
    service = CsmService(CsmSettings(checkpoint=str(write_checkpoint(tmp_path / "plain"))))
    async with serve_for_test(service) as served, aio.insecure_channel(served.address) as channel:
        error = await refused(csm_pb2_grpc.CsmServiceStub(channel), reference_clip="calm")
    assert "ships no clips" in error.limit


@pytest.mark.parametrize(
    "fields",
    [
        [],
        {"speakers": []},
        VOICES | {"clips": [CLIP | {"codes": [[1, 2]]}]},
        VOICES | {"clips": [CLIP | {"codes": [[600] * 8]}]},
        VOICES | {"clips": [CLIP | {"codes": []}]},
    ],
)
async def test_broken_voices_stop_the_service_at_start(tmp_path, fields):
    service = CsmService(CsmSettings(checkpoint=str(write_voices(tmp_path / "voices", fields))))
    with pytest.raises(CheckpointError, match=VOICES_FILE):
        await service.start()
