"""A server with Ollama's HTTP API as documented, scripted answers and faults on demand.

It speaks what docs/api.md and docs/capabilities of github.com/ollama/ollama describe: /api/version, /api/tags,
/api/show, /api/pull and /api/chat, their status codes, their NDJSON streams and their errors.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from aiohttp import web

Fault = Literal["none", "hang", "die", "invalid json", "error", "other shape", "no end"]


@dataclass
class Answer:
    """One answer of the model.

    Args:
        tokens: the answer's text, token by token; a string is cut into words with their leading space.
        thinking: tokens of the `thinking` field that come before.
        calls: tool calls that come after the text: (name, arguments).
        fault: what happens after the last token, in place of the end.
        tokens_a_second: 0: as fast as possible.
        before_s: time before the first token.
        done_reason: why it ends.
    """

    tokens: str | Sequence[str] = ""
    thinking: Sequence[str] = ()
    calls: Sequence[tuple[str, dict[str, Any]]] = ()
    fault: Fault = "none"
    tokens_a_second: float = 0.0
    before_s: float = 0.0
    done_reason: str = "stop"
    sent_at: list[float] = field(default_factory=list)
    """Loop time at which each token was sent."""

    def pieces(self) -> list[str]:
        """The tokens."""
        return words(self.tokens) if isinstance(self.tokens, str) else list(self.tokens)


def words(text: str) -> list[str]:
    """Splits `text` before each space, like most tokenizers."""
    pieces = text.split(" ")
    return [piece if at == 0 else f" {piece}" for at, piece in enumerate(pieces)] if text else []


class OllamaServer:
    """The server.

    Args:
        models: names of the models that are there, with their capabilities.
        library: names of the models that can be pulled.
    """

    def __init__(self, models: dict[str, list[str]] | None = None, library: dict[str, list[str]] | None = None) -> None:
        self.models = {"llama3.2:latest": ["completion", "tools"]} if models is None else models
        self.library = library or {}
        self.answers: list[Answer] = []
        self.requests: list[dict[str, Any]] = []
        self.loaded: list[dict[str, Any]] = []
        self.pulls = 0
        self.pull_fault: Fault = "none"
        self.status: tuple[int, str] | None = None  # every chat is refused with it
        self.template = "{{ .Prompt }}"
        self.hung_up = asyncio.Event()  # a caller left in the middle of an answer
        self.url = ""

    def say(self, *answers: Answer | str) -> None:
        """Adds answers; the last one is repeated."""
        self.answers += [answer if isinstance(answer, Answer) else Answer(answer) for answer in answers]

    def app(self) -> web.Application:
        """The application."""
        app = web.Application()
        app.router.add_get("/api/version", self._version)
        app.router.add_get("/api/tags", self._tags)
        app.router.add_post("/api/show", self._show)
        app.router.add_post("/api/pull", self._pull)
        app.router.add_post("/api/chat", self._chat)
        return app

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[OllamaServer]:
        """Serves on a port of the loopback address."""
        runner = web.AppRunner(self.app(), shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _version(self, _request: web.Request) -> web.Response:
        return web.json_response({"version": "0.12.0"})

    async def _tags(self, _request: web.Request) -> web.Response:
        listed = [{"name": name, "model": name, "size": 1, "digest": "0" * 64} for name in self.models]
        return web.json_response({"models": listed})

    async def _show(self, request: web.Request) -> web.Response:
        name = _full((await request.json())["model"])
        if name not in self.models:
            return web.json_response({"error": f"model '{name}' not found"}, status=404)
        details = {"format": "gguf", "family": "llama", "parameter_size": "3.2B", "quantization_level": "Q4_K_M"}
        return web.json_response(
            {
                "details": details,
                "template": self.template,
                "model_info": {"general.architecture": "llama"},
                "capabilities": self.models[name],
            }
        )

    async def _pull(self, request: web.Request) -> web.StreamResponse:
        self.pulls += 1
        name = _full((await request.json())["model"])
        steps: list[dict[str, Any]] = [{"status": "pulling manifest"}]
        if name not in self.library:
            steps.append({"error": "pull model manifest: file does not exist"})
        else:
            steps += [
                {"status": "pulling 00aa", "digest": "sha256:00aa", "total": 1000, "completed": completed}
                for completed in range(0, 1001, 250)
            ]
            if self.pull_fault == "none":
                steps += [{"status": "verifying sha256 digest"}, {"status": "writing manifest"}, {"status": "success"}]
        response = await _ndjson(request)
        for step in steps:
            await _line(response, step)
            await asyncio.sleep(0.002)
        if steps[-1].get("status") == "success":
            self.models[name] = self.library[name]
        return response

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        name = _full(body["model"])
        if self.status is not None:
            return web.json_response({"error": self.status[1]}, status=self.status[0])
        if name not in self.models:
            return web.json_response({"error": f"model '{name}' not found"}, status=404)
        can = self.models[name]
        if body.get("tools") and "tools" not in can:
            return web.json_response({"error": f"registry.ollama.ai/library/{name} does not support tools"}, status=400)
        if body.get("think") and "thinking" not in can:
            return web.json_response({"error": f'"{name}" does not support thinking'}, status=400)
        if not body.get("messages"):
            self.loaded.append(body)
            return web.json_response(_message(name, "", done=True, done_reason="load"))
        self.requests.append(body)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        try:
            return await self._stream(request, name, answer)
        except (asyncio.CancelledError, ConnectionError):
            self.hung_up.set()
            raise

    async def _stream(self, request: web.Request, name: str, answer: Answer) -> web.StreamResponse:
        response = await _ndjson(request)
        loop = asyncio.get_running_loop()
        await asyncio.sleep(answer.before_s)
        started, sent = loop.time(), 0

        async def pace() -> None:
            nonlocal sent
            if answer.tokens_a_second:
                await asyncio.sleep(max(0.0, started + sent / answer.tokens_a_second - loop.time()))
            sent += 1

        for token in answer.thinking:
            await pace()
            await _line(response, _message(name, "", thinking=token))
        for token in answer.pieces():
            await pace()
            answer.sent_at.append(loop.time())
            await _line(response, _message(name, token))
        if answer.calls:
            calls = [{"function": {"name": name, "arguments": arguments}} for name, arguments in answer.calls]
            await _line(response, _message(name, "", tool_calls=calls))
        match answer.fault:
            case "hang":
                await asyncio.sleep(3600)
            case "die":
                assert request.transport is not None
                request.transport.abort()
            case "invalid json":
                await response.write(b'{"model": "llama3.2", "message": {"role": "assis\n')
            case "other shape":
                await response.write(b'["not", "an", "object"]\n')
            case "error":
                await _line(response, {"error": "an error was encountered while running the model: CUDA error"})
            case "no end":
                pass
            case "none":
                await _line(response, _message(name, "", done=True, done_reason=answer.done_reason))
        return response


async def _ndjson(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    return response


async def _line(response: web.StreamResponse, value: dict[str, Any]) -> None:
    await response.write(json.dumps(value).encode() + b"\n")


def _message(name: str, content: str, *, done: bool = False, done_reason: str = "", **fields: Any) -> dict[str, Any]:
    message = {
        "model": name,
        "created_at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "message": {"role": "assistant", "content": content, **fields},
        "done": done,
    }
    if done:
        durations = {"total_duration": 5_000_000, "load_duration": 1_000_000, "prompt_eval_count": 26}
        message |= {"done_reason": done_reason, **durations, "prompt_eval_duration": 1_000_000, "eval_count": 9}
    return message


def _full(name: str) -> str:
    return name if ":" in name else f"{name}:latest"


@asynccontextmanager
async def tool_server(answer: Any = None, *, status: int = 200, delay_s: float = 0.0) -> AsyncIterator[ToolServer]:
    """An HTTP endpoint that a tool calls."""
    server = ToolServer(answer, status, delay_s)
    app = web.Application()
    app.router.add_route("*", "/tool", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/tool"
    try:
        yield server
    finally:
        await runner.cleanup()


class ToolServer:
    """The endpoint of a tool; records its requests."""

    def __init__(self, body: Any, status: int, delay_s: float) -> None:
        self.body, self.status, self.delay_s = body, status, delay_s
        self.asked: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        arguments: dict[str, Any] = dict(request.query)
        with suppress(ValueError):
            arguments |= await request.json()
        self.asked.append(arguments)
        self.headers = dict(request.headers)
        await asyncio.sleep(self.delay_s)
        return web.json_response(self.body, status=self.status)
