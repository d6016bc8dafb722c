"""The speech-to-text service as a process, for all tests that use the default settings."""

from __future__ import annotations

import pytest
import pytest_asyncio

from oviya.mesh.channel import open_channel
from oviya.v1 import stt_pb2_grpc
from tests.support.service_process import ServiceProcess
from tests.support.stt_calls import NAME


@pytest.fixture(scope="session")
def address():
    # Sound that is sent sample by sample may fall far behind the clock on a busy machine: hence the long TURN_STALL_S.
    with ServiceProcess("services.stt", SESSIONS="2", TURN_STALL_S="60") as service:
        service.start()
        yield service.address
        assert service.stop() == 0


@pytest_asyncio.fixture
async def stub(address):
    async with open_channel(address, NAME) as channel:
        yield stt_pb2_grpc.SttServiceStub(channel)
