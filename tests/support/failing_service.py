"""A service that fails in every way that a process can, with what the caller sent."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import warnings
from typing import Any

from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from oviya.errors import InvalidInput
from oviya.mesh.service import Service, run
from oviya.mesh.settings import ServiceSettings
from oviya.v1 import brain_pb2, brain_pb2_grpc


class FailingSettings(ServiceSettings):
    """Settings of a test."""

    model_config = SettingsConfigDict(env_prefix="FAILING_")

    token: SecretStr = SecretStr("")
    """A secret."""
    fail_at_start: str = ""
    """What the start fails with; empty: it does not fail."""


def fail(said: str) -> None:
    """Raises with what was said in the message, a note, a cause and a local variable."""
    local = said
    try:
        raise KeyError(local)
    except KeyError as error:
        problem = ValueError(f"cannot use {said}")
        problem.add_note(f"note: {said}")
        raise problem from error


def quietly(said: str) -> ValueError:
    try:
        fail(said)
    except ValueError as error:
        return error
    raise AssertionError


class FailsWhenCollected:
    def __init__(self, said: str) -> None:
        self.said = said

    def __del__(self) -> None:
        fail(self.said)


class FailingServicer(brain_pb2_grpc.BrainServiceServicer):
    """Fails as `session_id` asks, with `text`."""

    def __init__(self, service: FailingService) -> None:
        self._service = service

    async def Reply(self, request: Any, context: Any) -> Any:
        said = request.text
        match request.session_id:
            case "rpc":
                fail(said)
            case "group":
                raise ExceptionGroup(said, [quietly(said), TypeError(said)])
            case "typed":
                raise InvalidInput("text", said, "must be something else")
            case "task":
                asyncio.get_running_loop().create_task(fails_later(said), name="unwatched")
                await asyncio.sleep(0.05)
                gc.collect()
            case "callback":
                asyncio.get_running_loop().call_soon(fail, said)
            case "thread":
                threading.Thread(target=fail, args=(said,)).start()
            case "loop":
                self._service.loops.start("failing", lambda: fails_later(said))
            case "break down":
                self._service.break_down()
            case "destructor":
                FailsWhenCollected(said)
            case "warning":
                warnings.warn(said, stacklevel=1)
            case "library":
                library = logging.getLogger("library")
                library.warning("it got %s after %d tries", said, 3)
                library.warning(f"it was given {said}")
                library.error("it failed", exc_info=quietly(said))
                library.warning("%d", said)  # cannot be formatted
            case "secret":
                logging.getLogger("library").error("known", extra={"key": said})
                self._service.log_secret()
        yield brain_pb2.ReplyResponse(text="done")

    async def GetModel(self, request: Any, context: Any) -> Any:
        return dict(context.invocation_metadata())["said"]  # not a message: gRPC cannot serialize it

    async def Summarize(self, request: Any, context: Any) -> Any:
        raise NotImplementedError


async def fails_later(said: str) -> None:
    await asyncio.sleep(0)
    fail(said)


class FailingService(Service[FailingSettings]):
    name = "failing"
    grpc_services = ("oviya.v1.BrainService",)

    def register(self, server: Any) -> None:
        brain_pb2_grpc.add_BrainServiceServicer_to_server(FailingServicer(self), server)

    def log_secret(self) -> None:
        import structlog

        structlog.get_logger().warning(
            "a careless line", url=f"redis://user:{self.settings.token.get_secret_value()}@h"
        )

    async def start(self) -> None:
        if self.settings.fail_at_start:
            fail(self.settings.fail_at_start)


if __name__ == "__main__":
    run(FailingService, FailingSettings)
