"""A served CSM with small random weights, and a stub of it."""

from __future__ import annotations

import pytest
import pytest_asyncio
from grpc import aio

from oviya.v1 import csm_pb2_grpc
from services.csm.server import CsmService
from services.csm.settings import CsmSettings
from tests.support.checkpoints.csm import write_checkpoint
from tests.support.serving import serve_for_test


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("csm") / "small", styles=("calm", "playful"))


@pytest_asyncio.fixture
async def served(folder):
    settings = CsmSettings(checkpoint=str(folder), slots=2, host="127.0.0.1", context_turns=5)
    async with serve_for_test(CsmService(settings)) as served:
        yield served


@pytest_asyncio.fixture
async def stub(served):
    """A stub on a channel that does not retry: a refusal is seen as it is."""
    async with aio.insecure_channel(served.address, options=[("grpc.enable_retries", 0)]) as channel:
        yield csm_pb2_grpc.CsmServiceStub(channel)
