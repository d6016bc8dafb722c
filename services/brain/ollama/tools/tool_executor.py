"""Executes the model's tool calls over HTTP."""

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
    """A call without an answer; the message is sent to the model and to the caller."""


class CallRefused(ToolFailed):
    """The tool does not exist, or the arguments are not valid.  The message may contain what people said."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of a call.

    Attributes:
        name: name of the tool.
        content: the answer for the model.
        failure: why the call failed; empty: it succeeded.
    """

    name: str
    content: str
    failure: str = ""


class ToolExecutor:
    """Calls the declared tools, whose names differ."""

    def __init__(self, specs: Sequence[ToolSpec]) -> None:
        self._specs = {spec.name: spec for spec in specs}
        # Private addresses are called directly; for public ones the environment may name a proxy.
        self._direct = httpx.AsyncClient(follow_redirects=False, trust_env=False)
        self._proxied = httpx.AsyncClient(follow_redirects=False)

    def definitions(self) -> list[dict[str, Any]]:
        """The tools, as /api/chat expects them."""
        return [spec.definition() for spec in self._specs.values()]

    def filler(self, calls: Sequence[ToolCall]) -> str:
        """The first filler sentence of the called tools; empty: none has one."""
        return next((spec.filler for call in calls if (spec := self._specs.get(call.name)) and spec.filler), "")

    def refusal(self, call: ToolCall) -> str:
        """Why a call is not valid: the tool does not exist, or the arguments do not match; empty: it is valid."""
        try:
            self._checked(call)
        except CallRefused as refused:
            return str(refused)
        return ""

    async def call_all(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        """Executes calls concurrently; a failed call has a result as well."""
        return list(await asyncio.gather(*(self.call(call) for call in calls)))

    async def call(self, call: ToolCall) -> ToolResult:
        """Executes one call.  Failures are returned as results, not raised."""
        started, known = time.monotonic(), call.name in self._specs
        label = call.name if known else "unknown"  # invented names must not become metric labels
        try:
            content = await self._execute(call)
        except ToolFailed as failure:
            TOOL_CALLS.labels(label, "failed").inc()
            reason = "the model's call was refused" if isinstance(failure, CallRefused) else str(failure)
            log.warning("tool failed", tool=label, reason=reason)
            # The model can answer without the tool, or call it again with other arguments.
            return ToolResult(call.name, json.dumps({"error": str(failure)}), str(failure))
        TOOL_CALLS.labels(label, "answered").inc()
        TOOL_SECONDS.labels(label).observe(time.monotonic() - started)
        return ToolResult(call.name, content)

    async def close(self) -> None:
        """Closes the connections."""
        await self._direct.aclose()
        await self._proxied.aclose()

    async def _execute(self, call: ToolCall) -> str:
        try:
            spec = self._checked(call)
            async with asyncio.timeout(spec.timeout_s):
                return await self._fetch(spec, call.arguments)
        except ToolFailed:
            raise
        except TimeoutError as error:
            raise ToolFailed(f"no answer came within {self._specs[call.name].timeout_s:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ToolFailed(f"it cannot be reached ({type(error).__name__})") from error
        except UnicodeError as error:
            raise CallRefused("an argument contains characters that cannot be sent") from error
        except Exception as error:
            # The message may contain what people said, an address or a header: only the type is reported.
            raise ToolFailed(f"it could not be called ({type(error).__name__})") from error

    def _checked(self, call: ToolCall) -> ToolSpec:
        """The tool of a call.

        Raises:
            CallRefused: the tool does not exist, or the arguments do not match.
        """
        spec = self._specs.get(call.name)
        if spec is None:
            raise CallRefused(f"there is no such tool; there are: {', '.join(self._specs)}")
        _check_arguments(spec, call.arguments)
        return spec

    async def _fetch(self, spec: ToolSpec, arguments: Mapping[str, Any]) -> str:
        url = httpx.URL(spec.url)
        body: dict[str, Any] = {}
        if spec.method == "POST":
            body["json"] = dict(arguments)
        else:
            query = _query(arguments)
            url = url.copy_merge_params(query) if query else url
        http = self._direct if is_private(spec.url) else self._proxied
        headers = {name: value.get_secret_value() for name, value in spec.headers.items()}
        async with http.stream(spec.method, url, headers=headers, timeout=spec.timeout_s, **body) as response:
            if not response.is_success:
                raise ToolFailed(f"it answered with HTTP {response.status_code}")
            answer = bytearray()
            async for chunk in response.aiter_bytes():
                answer += chunk
                if len(answer) > spec.max_bytes:
                    raise ToolFailed(f"its answer is larger than {spec.max_bytes} bytes")
        return answer.decode("utf-8", "replace")


def _check_arguments(spec: ToolSpec, arguments: Mapping[str, Any]) -> None:
    error = best_match(jsonschema.Draft202012Validator(spec.closed_parameters()).iter_errors(dict(arguments)))
    if error is not None:
        path = ".".join(map(str, error.absolute_path)) or "arguments"
        raise CallRefused(f"{path}: {error.message}"[:MAX_ERROR_CHARS])


def _query(arguments: Mapping[str, Any]) -> dict[str, str]:
    """The arguments as query parameters, without those that are null."""
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in arguments.items()
        if value is not None
    }
