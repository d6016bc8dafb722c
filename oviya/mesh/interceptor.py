"""Server interceptor: maps typed errors to statuses, measures calls, limits their number, and binds turns' ids."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import aclosing, contextmanager, nullcontext
from typing import Any, TypeAlias

import grpc
import structlog
from grpc import aio

from oviya.errors import Busy, NotReady, OviyaError
from oviya.mesh import metrics, turn_id
from oviya.status import mapping_of, trailing_metadata

log = structlog.get_logger()

# Always available, since callers learn from them whether the service is ready.
ALWAYS_OPEN = ("/grpc.health.v1.Health/", "/grpc.reflection.")

RETRY_AFTER_S = 1.0
"""Delay before a retry, in seconds, for a call refused by the limit of concurrent calls."""

Context: TypeAlias = "aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class _Observation:
    """The outcome of a running call."""

    def __init__(self) -> None:
        self.error: OviyaError | None = None


class CallInterceptor(aio.ServerInterceptor):
    """Maps errors to statuses, measures calls, and refuses calls if the service is not ready or too many are running.

    Lines that are logged during a call have its `method` and, if the caller sent it, the `turn_id`.

    Args:
        is_ready: returns whether calls are accepted.
        max_calls: maximum number of concurrent calls, without those of `ALWAYS_OPEN`.
    """

    def __init__(self, is_ready: Callable[[], bool], *, max_calls: int) -> None:
        self._is_ready = is_ready
        self._max_calls = max_calls
        self.calls = 0
        """Running calls, without those of `ALWAYS_OPEN`."""
        self._idle = asyncio.Event()
        self._idle.set()

    async def wait_until_idle(self) -> None:
        """Waits until no call is running, without those of `ALWAYS_OPEN`."""
        await self._idle.wait()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        method = str(handler_call_details.method)
        if handler is None or method.startswith(ALWAYS_OPEN):
            return handler
        turn = turn_id.received(handler_call_details.invocation_metadata)
        codec = (handler.request_deserializer, handler.response_serializer)
        if handler.response_streaming:
            stream = self._wrap_stream(method, turn, handler.stream_stream or handler.unary_stream)
            make: Any = (
                grpc.stream_stream_rpc_method_handler
                if handler.request_streaming
                else grpc.unary_stream_rpc_method_handler
            )
            return make(stream, *codec)
        single = self._wrap_single(method, turn, handler.stream_unary or handler.unary_unary)
        make = (
            grpc.stream_unary_rpc_method_handler if handler.request_streaming else grpc.unary_unary_rpc_method_handler
        )
        return make(single, *codec)

    def _wrap_single(self, method: str, turn: str, behaviour: Any) -> Callable[[Any, Context], Awaitable[Any]]:
        async def call(request: Any, context: Context) -> Any:
            response = None
            with self._observed(method, turn) as observation:
                self._admit()
                response = await behaviour(request, context)
            await _abort_on(observation, context)
            return response

        return call

    def _wrap_stream(self, method: str, turn: str, behaviour: Any) -> Callable[[Any, Context], AsyncIterator[Any]]:
        async def call(request: Any, context: Context) -> AsyncIterator[Any]:
            with self._observed(method, turn) as observation:
                self._admit()
                # aclosing runs the servicer's `finally` at cancellation, not at garbage collection.
                async with aclosing(behaviour(request, context)) as responses:
                    async for response in responses:
                        yield response
            await _abort_on(observation, context)

        return call

    def _admit(self) -> None:
        """Checks that a call, which is already counted, may run.

        Raises:
            NotReady: the service is starting or stopping.
            Busy: too many calls are running.
        """
        if not self._is_ready():
            raise NotReady("the service is not taking calls", hint="it is starting or stopping; try again")
        if self.calls > self._max_calls:
            raise Busy(f"{self._max_calls} calls are running, the most", retry_after_s=RETRY_AFTER_S)

    @contextmanager
    def _observed(self, method: str, turn: str) -> Generator[_Observation]:
        """Measures a call and stores its error for `_abort_on`.  Cancellation propagates."""
        observation, code, started = _Observation(), grpc.StatusCode.OK.name, time.monotonic()
        metrics.RPCS_IN_FLIGHT.labels(method).inc()
        self.calls += 1
        self._idle.clear()
        try:
            scope = turn_id.turn_scope(turn) if turn else nullcontext()
            with scope, structlog.contextvars.bound_contextvars(method=method):
                try:
                    yield observation
                except OviyaError as error:
                    observation.error, code = error, mapping_of(error).code.name
                    # The message may quote the request, so it is logged at debug only.
                    log.info("call failed", error=type(error).__name__, code=code)
                    log.debug("call failed", message=str(error))
                except Exception:
                    observation.error = OviyaError("internal error", hint="the service's log has the details")
                    code = grpc.StatusCode.INTERNAL.name
                    log.exception("call broke")
        except BaseException:  # cancellation, or the caller closed the generator
            code = grpc.StatusCode.CANCELLED.name
            raise
        finally:
            metrics.RPCS_IN_FLIGHT.labels(method).dec()
            self.calls -= 1
            if not self.calls:
                self._idle.set()
            metrics.RPC_SECONDS.labels(method, code).observe(time.monotonic() - started)
            if observation.error is not None:
                metrics.ERRORS.labels(method, type(observation.error).__name__).inc()


async def _abort_on(observation: _Observation, context: Context) -> None:
    """Aborts a call that failed.  It raises, so it runs outside the observation."""
    if observation.error is not None:
        error = observation.error
        await context.abort(mapping_of(error).code, str(error), trailing_metadata(error))
