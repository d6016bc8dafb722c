"""A service that does not want to end: `python -m tests.support.stubborn_service`."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from pydantic_settings import SettingsConfigDict

from oviya.mesh.deadline import Deadline
from oviya.mesh.service import Service, run
from oviya.mesh.settings import ServiceSettings
from oviya.v1 import brain_pb2, brain_pb2_grpc


class StubbornSettings(ServiceSettings):
    """Settings of a test."""

    model_config = SettingsConfigDict(env_prefix="STUBBORN_")

    way: str = ""
    """What does not end: drain, close, thread or loop."""


class StubbornServicer(brain_pb2_grpc.BrainServiceServicer):
    async def Reply(self, request: Any, context: Any) -> Any:
        yield brain_pb2.ReplyResponse(text="begun")
        while True:
            await asyncio.sleep(3600)

    async def Summarize(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    async def GetModel(self, request: Any, context: Any) -> Any:
        raise NotImplementedError


class StubbornService(Service[StubbornSettings]):
    name = "stubborn"
    grpc_services = ("oviya.v1.BrainService",)

    def register(self, server: Any) -> None:
        brain_pb2_grpc.add_BrainServiceServicer_to_server(StubbornServicer(), server)

    async def start(self) -> None:
        pass

    async def drain(self, deadline: Deadline) -> None:
        if self.settings.way == "drain":
            await asyncio.sleep(3600)

    async def close(self, deadline: Deadline) -> None:
        os.write(1, b"flushed\n")
        match self.settings.way:
            case "close":
                await asyncio.sleep(3600)
            case "thread":
                await asyncio.to_thread(time.sleep, 3600)
            case "loop":
                time.sleep(3600)  # noqa: ASYNC251  (that is the point)


if __name__ == "__main__":
    run(StubbornService, StubbornSettings)
