"""Functions that the model may call: declared in the settings, called over HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import jsonschema
import structlog
from jsonschema.exceptions import best_match

from services.brain.metrics import TOOL_CALLS, TOOL_SECONDS
from services.brain.ollama.client import ToolCall
from services.brain.ollama.network import is_private
from services.brain.tool_spec import ToolSpec

log = structlog.get_logger()

MAX_ERROR_CHARS = 300


class ToolFailed(Exception):
    """A call that brought no answer; its message goes to the model and to the caller."""


class CallRefused(ToolFailed):
    """The model called what is not there, or with wrong arguments.  What it wrote may hold what people said."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a call brought: the answer for the model, and what failed (empty: nothing)."""

    name: str
    content: str
    failure: str = ""


class Tools:
    """Calls the declared functions.

    Args:
        specs: the functions; their names differ.
    """

    def __init__(self, specs: Sequence[ToolSpec]) -> None:
        self._specs = {spec.name: spec for spec in specs}
        # A private address is called directly; for a public one the environment may name a proxy.
        self._direct = httpx.AsyncClient(follow_redirects=False, trust_env=False)
        self._proxied = httpx.AsyncClient(follow_redirects=False)

    def offers(self) -> list[dict[str, Any]]:
        """The functions as /api/chat takes them."""
        return [spec.offer() for spec in self._specs.values()]

    def filler(self, calls: Sequence[ToolCall]) -> str:
        """What the first of the called tools wants to be said while it is slow; empty: nothing of its own."""
        return next((spec.filler for call in calls if (spec := self._specs.get(call.name)) and spec.filler), "")

    def refusal(self, call: ToolCall) -> str:
        """Why a call cannot be made: there is no such tool, or its arguments do not fit; empty: it can."""
        try:
            self._checked(call)
        except CallRefused as refused:
            return str(refused)
        return ""

    async def call_all(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        """Calls functions at the same time; a failed call is a result too."""
        return list(await asyncio.gather(*(self.call(call) for call in calls)))

    async def call(self, call: ToolCall) -> ToolResult:
        """Calls one function.  Whatever goes wrong is the result; nothing is raised."""
        started, known = time.monotonic(), call.name in self._specs
        label = call.name if known else "unknown"  # what a model invents must not become a metric's label
        try:
            content = await self._guarded(call)
        except ToolFailed as failure:
            TOOL_CALLS.labels(label, "failed").inc()
            reason = "the model's call was refused" if isinstance(failure, CallRefused) else str(failure)
            log.warning("tool failed", tool=label, reason=reason)
            # Told to the model as well: it can answer without, or call again with better arguments.
            return ToolResult(call.name, json.dumps({"error": str(failure)}), str(failure))
        TOOL_CALLS.labels(label, "answered").inc()
        TOOL_SECONDS.labels(label).observe(time.monotonic() - started)
        return ToolResult(call.name, content)

    async def close(self) -> None:
        """Closes the connections."""
        await self._direct.aclose()
        await self._proxied.aclose()

    async def _guarded(self, call: ToolCall) -> str:
        try:
            return await self._call(call)
        except ToolFailed:
            raise
        except UnicodeError as error:
            raise CallRefused("an argument holds characters that cannot be sent") from error
        except Exception as error:
            # Its message may hold what people said, an address or a header: only its type is told.
            raise ToolFailed(f"it could not be called ({type(error).__name__})") from error

    def _checked(self, call: ToolCall) -> ToolSpec:
        """The function that is called.

        Raises:
            CallRefused: there is none, or the arguments do not fit.
        """
        spec = self._specs.get(call.name)
        if spec is None:
            raise CallRefused(f"there is no such tool; there are: {', '.join(self._specs)}")
        _check_arguments(spec, call.arguments)
        return spec

    async def _call(self, call: ToolCall) -> str:
        spec = self._checked(call)
        try:
            async with asyncio.timeout(spec.timeout_s):
                return await self._fetch(spec, call.arguments)
        except TimeoutError as error:
            raise ToolFailed(f"no answer came within {spec.timeout_s:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ToolFailed(f"it cannot be reached ({type(error).__name__})") from error

    async def _fetch(self, spec: ToolSpec, arguments: Mapping[str, Any]) -> str:
        url = httpx.URL(spec.url)
        carried: dict[str, Any] = {}
        if spec.method == "POST":
            carried["json"] = dict(arguments)
        else:
            query = _query(arguments)
            url = url.copy_merge_params(query) if query else url  # it keeps a query of its own
        http = self._direct if is_private(spec.url) else self._proxied
        headers = {name: value.get_secret_value() for name, value in spec.headers.items()}
        async with http.stream(spec.method, url, headers=headers, timeout=spec.timeout_s, **carried) as answer:
            if not answer.is_success:
                raise ToolFailed(f"it answered with HTTP {answer.status_code}")
            body = bytearray()
            async for piece in answer.aiter_bytes():
                body += piece
                if len(body) > spec.max_bytes:
                    raise ToolFailed(f"its answer is larger than {spec.max_bytes} bytes")
        return body.decode("utf-8", "replace")


def _check_arguments(spec: ToolSpec, arguments: Mapping[str, Any]) -> None:
    fault = best_match(jsonschema.Draft202012Validator(spec.closed_parameters()).iter_errors(dict(arguments)))
    if fault is not None:
        path = ".".join(map(str, fault.absolute_path)) or "arguments"
        raise CallRefused(f"{path}: {fault.message}"[:MAX_ERROR_CHARS])


def _query(arguments: Mapping[str, Any]) -> dict[str, str]:
    """The arguments as a query; what is null is left out."""
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in arguments.items()
        if value is not None
    }
