"""Which checkpoint the CSM service starts with, and what it says where it cannot."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from oviya.errors import CheckpointError
from oviya.v1 import csm_pb2, csm_pb2_grpc
from services.csm.server import CsmService
from services.csm.settings import CsmSettings
from tests.support.checkpoints.faults import assert_cannot_start, edit_config, missing, truncated
from tests.support.serving import serve_for_test


@pytest.mark.parametrize(("checkpoint", "name"), [("", "demo-csm"), ("random", "random-csm")])
async def test_without_a_folder_the_model_is_named(checkpoint, name):
    async with serve_for_test(CsmService(CsmSettings(checkpoint=checkpoint))) as served:
        stub = csm_pb2_grpc.CsmServiceStub(served.channel)
        model = await stub.GetModel(csm_pb2.CsmServiceGetModelRequest(), timeout=10)
        assert (model.model.name, model.model.trained) == (name, name == "demo-csm")
        asked = csm_pb2.GenerateRequest(text="Hello you.", sampling=csm_pb2.Sampling(seed=3), max_frames=6)
        responses = [response.WhichOneof("response") async for response in stub.Generate(asked, timeout=60)]
        assert responses == ["frames"] * 6 + ["end"]


async def test_a_missing_demo_voice_is_reported_with_a_hint(monkeypatch, tmp_path):
    monkeypatch.setenv("OVIYA_MODELS", str(tmp_path))
    with pytest.raises(CheckpointError, match="demo-csm") as caught:
        await CsmService(CsmSettings()).start()
    assert "OVIYA_MODELS" in caught.value.hint


async def test_a_broken_checkpoint_stops_the_service_at_start(tmp_path):
    service = CsmService(CsmSettings(checkpoint=str(tmp_path / "nothing")))
    with pytest.raises(CheckpointError, match="no such folder"):
        async with serve_for_test(service):
            pass


def of_other_sizes(folder: Path) -> None:
    edit_config(folder, intermediate_size=320)


def without_its_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (missing, b"no such folder"),
        (truncated, b"truncated or damaged"),
        (of_other_sizes, b"its config asks for"),
        (without_its_tokenizer, b"tokenizer.json: no such file"),
    ],
)
async def test_a_failed_start_is_explained_in_one_line(folder, tmp_path, fault, reason):
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    fault(broken)
    await assert_cannot_start("csm", broken, reason)
