"""Slots and the queue of a served CSM: refusals, waiting, cancelling."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from grpc import aio

from oviya.v1 import csm_pb2_grpc
from services.csm.server import CsmService
from services.csm.settings import CsmSettings
from tests.support.csm_calls import HELLO, PACED, free, request, speak
from tests.support.metrics import metric
from tests.support.serving import serve_for_test
from tests.support.waiting import until


async def test_a_queue_lets_callers_wait_within_the_service(folder):
    service = CsmService(CsmSettings(checkpoint=str(folder), slots=1, queue_s=30))
    async with serve_for_test(service) as served:
        stub = csm_pb2_grpc.CsmServiceStub(served.channel)
        running = stub.Generate(request(max_frames=0, lead=PACED))
        await running.read()
        waiting = [asyncio.create_task(speak(stub, HELLO)) for _ in range(3)]
        await until(lambda: service.engine.queued >= 3, within_s=20)
        waiting.pop().cancel()
        await until(lambda: service.engine.queued <= 2, within_s=20)
        running.cancel()
        results = await asyncio.gather(*waiting)
    assert [len(frames) for frames, _ in results] == [6, 6]


async def test_a_full_service_refuses_before_any_metadata_and_names_a_pause(stub, served):
    endless = request(max_frames=0, lead=PACED)
    running = [stub.Generate(endless) for _ in range(2)]
    for call in running:
        await call.read()
    refused = stub.Generate(HELLO)
    with pytest.raises(aio.AioRpcError) as failure:
        await refused.read()
    assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not tuple(await refused.initial_metadata()), "gRPC retries only before initial metadata"
    pushback = dict(failure.value.trailing_metadata())["grpc-retry-pushback-ms"]
    assert 100 <= int(pushback) <= 5000
    for call in running:
        call.cancel()
    await free(served)
    frames, _ = await speak(stub, HELLO)
    assert len(frames) == 6


async def test_a_caller_of_the_mesh_waits_for_a_slot_and_gets_it(served):
    """The mesh's channel tries again after the pause that the refusal names."""
    stub: Any = csm_pb2_grpc.CsmServiceStub(served.channel)
    running = [stub.Generate(request(max_frames=0, lead=PACED)) for _ in range(2)]
    for call in running:
        await call.read()
    refused = metric("csm_rejected_total")
    waiting = asyncio.create_task(speak(stub, request(max_frames=4)))
    await until(lambda: metric("csm_rejected_total") > refused)
    for call in running:
        call.cancel()
    frames, _ = await waiting
    assert len(frames) == 4


async def test_cancelling_frees_the_slot(stub, served):
    for _ in range(5):
        call = stub.Generate(request(max_frames=0, lead=PACED))
        await call.read()
        assert served.service.engine.slots_used == 1
        call.cancel()
        await free(served)
