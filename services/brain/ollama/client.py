"""Ollama as the brain calls it: the `ollama` package, with time-outs and typed errors."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
import ollama
import pydantic

from oviya.errors import Busy, NotReady, OviyaError, Timeout, Unavailable
from services.brain.ollama.network import is_private, shown
from services.brain.ollama.output.thinking_profile import writes_thinking

T = TypeVar("T")

SERVICE = "ollama"
BUSY_RETRY_S = 2.0
"""When a full server may be asked again: it works off one of its queued requests in about that time."""
NOT_FOUND, METHOD_NOT_ALLOWED, SERVICE_UNAVAILABLE = 404, 405, 503
_MODEL_MISSING = re.compile(r"\bmodel\b.*\bnot found\b|\bpull\b", re.IGNORECASE | re.DOTALL)
"""How Ollama words that it does not have a model; any other 404 is not about the model."""


class ModelMissing(NotReady):
    """The server does not have the model."""


class WrongServer(OviyaError):
    """What answers at the configured address is not Ollama's API."""


class BadStream(OviyaError):
    """The server sent what is no answer: invalid JSON, another shape, an error, or a stream without its end."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the model wants called."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Chunk:
    """One message of an answer's stream.

    Attributes:
        text: the next piece of the answer.
        thinking: whether it carries thinking.
        calls: functions to call.
        cut: the answer ends here because it reached the longest length.
    """

    text: str = ""
    thinking: bool = False
    calls: tuple[ToolCall, ...] = ()
    cut: bool = False


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the server tells of the model.

    Attributes:
        capabilities: "completion", "tools", "thinking" ...
        can_think: it can think, or its chat template writes marks of thinking.
    """

    capabilities: frozenset[str] = frozenset()
    can_think: bool = False


@dataclass(frozen=True)
class ChatOptions:
    """How answers are asked for; the same for all.

    Args:
        model: name of the model, e.g. "llama3.2".
        keep_alive: how long the server keeps the model loaded after an answer, e.g. "30m"; "-1": for ever.
        think: what models that can think are asked for; None: the model's own default.
        first_token_s: longest wait in seconds for the first token, which includes loading the model.
        token_gap_s: longest wait in seconds for each further token.
        options: the model's parameters (temperature, num_ctx ...).
    """

    model: str
    keep_alive: str
    think: bool | str | None
    first_token_s: float
    token_gap_s: float
    options: Mapping[str, Any] = field(default_factory=dict)


class OllamaClient:
    """One server and one model.

    Args:
        url: address of the server, e.g. "http://localhost:11434".  A private one is called directly, whatever proxies
            the environment names.
        chat: how answers are asked for.
        connect_s: longest time in seconds for a connection.
    """

    def __init__(self, url: str, chat: ChatOptions, *, connect_s: float) -> None:
        self.url = shown(url)
        self._chat = chat
        # Waiting is bounded here, message by message; only connecting is httpx's to bound.
        self._client = ollama.AsyncClient(
            host=url, timeout=httpx.Timeout(None, connect=connect_s), trust_env=not is_private(url)
        )

    @property
    def options(self) -> Mapping[str, Any]:
        """The model's parameters."""
        return self._chat.options

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def facts(self) -> ModelFacts:
        """What the server tells of the model.

        Raises:
            ModelMissing: the server does not have the model.
            WrongServer: what answers is not Ollama.
            Unavailable, Timeout: the server cannot be reached or does not answer.
        """
        with typed_errors(self.url, self._chat.model):
            try:
                told = await _within(
                    self._chat.first_token_s, "what the model can do", self._client.show(self._chat.model)
                )
            except (
                json.JSONDecodeError,
                UnicodeDecodeError,
                pydantic.ValidationError,
                TypeError,
                AttributeError,
            ) as error:
                raise _wrong_server(self.url, "it answers with something else than Ollama's JSON") from error
        capabilities = frozenset(told.capabilities or ())
        return ModelFacts(capabilities, "thinking" in capabilities or writes_thinking(told.template or ""))

    async def load(self, patience_s: float) -> None:
        """Loads the model, within `patience_s`: a chat without messages does nothing else.

        It is loaded with the options of later chats: Ollama loads it again where num_ctx and the like differ.

        Raises:
            OviyaError: as `chat`.
        """
        with typed_errors(self.url, self._chat.model):
            loading = self._client.chat(
                self._chat.model, [], keep_alive=_keep_alive(self._chat.keep_alive), options=self._chat.options
            )
            await _within(patience_s, f"{self._chat.model} to be loaded", loading)

    async def pull(self, tell: Callable[[str, float], None]) -> None:
        """Downloads the model to the server.

        Args:
            tell: takes what is being done and how far it is, 0 to 1.

        Raises:
            OviyaError: the server cannot get it.
        """
        model, done = self._chat.model, False
        with typed_errors(self.url, model):
            progress = await self._client.pull(model, stream=True)
            try:
                async for step in progress:
                    tell(step.status or "pulling", (step.completed or 0) / step.total if step.total else 0.0)
                    done = step.status == "success"
            except ollama.ResponseError as error:  # an unknown name, a registry that cannot be reached, a full disk
                raise BadStream(
                    f"ollama: the model {model} cannot be downloaded ({str(error.error)[:200]})",
                    hint="is BRAIN_OLLAMA_MODEL a name of ollama.com/library, and does that server reach it?",
                ) from error
            if not done:
                raise BadStream("ollama: the download ended before it was complete", hint="it goes on when tried again")

    async def chat(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = (), *, think: bool = True
    ) -> AsyncGenerator[Chunk, None]:
        """Streams an answer.

        Args:
            messages: the conversation, as /api/chat takes it.
            tools: functions that the model may call.
            think: whether the model can think, so that it may be told how.

        Raises:
            Timeout: a token took too long.
            Unavailable, Busy, ModelMissing: the server cannot answer now.
            BadStream: it sent what is no answer, or stopped in the middle.
        """
        chat = self._chat
        with typed_errors(self.url, chat.model):
            stream: AsyncIterator[ollama.ChatResponse] = await self._client.chat(
                chat.model,
                messages,
                tools=tools,
                stream=True,
                think=chat.think if think else None,
                keep_alive=_keep_alive(chat.keep_alive),
                options=chat.options,
            )
            patience_s, awaited = chat.first_token_s, "the first token"
            async with aclosing(stream) as parts:  # pyright: ignore[reportArgumentType]
                while True:
                    part = await _within(patience_s, awaited, anext(parts, None))
                    if part is None:
                        raise BadStream("ollama: the answer broke off")
                    yield _chunk(part)
                    if part.done:
                        return
                    patience_s, awaited = chat.token_gap_s, "the next token"


def _chunk(part: ollama.ChatResponse) -> Chunk:
    message = part.message
    return Chunk(
        text=message.content or "",
        thinking=bool(message.thinking),
        calls=tuple(ToolCall(call.function.name, call.function.arguments) for call in message.tool_calls or ()),
        cut=part.done_reason == "length",
    )


def _keep_alive(setting: str) -> str | float:
    """Ollama takes a bare number as seconds, and reads a string as a duration with its unit."""
    try:
        return float(setting)
    except ValueError:
        return setting


async def _within(seconds: float, what: str, work: Awaitable[T]) -> T:
    """What `work` gives; fails where it takes longer than `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError as error:
        raise Timeout(f"ollama: nothing came for {seconds:g} s while waiting for {what}") from error


@contextmanager
def typed_errors(url: str, model: str) -> Iterator[None]:
    """Raises what the `ollama` package and its HTTP client raise as Oviya's errors."""
    try:
        yield
    except ollama.ResponseError as error:
        raise _typed(error, url, model) from error
    except httpx.InvalidURL as error:
        raise _wrong_server(url, "it is not a valid address") from error
    except (httpx.ConnectError, httpx.ConnectTimeout, ConnectionError) as error:
        raise Unavailable(SERVICE, f"no server answers at {url}", hint="start it, or set BRAIN_OLLAMA_URL") from error
    except httpx.HTTPError as error:
        raise BadStream(f"ollama: the connection broke ({type(error).__name__})") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadStream("ollama: sent invalid JSON") from error
    except (pydantic.ValidationError, TypeError, AttributeError) as error:
        raise BadStream("ollama: sent JSON of another shape than its API has") from error


def _typed(error: ollama.ResponseError, url: str, model: str) -> OviyaError:
    told = str(error.error)
    if error.status_code == NOT_FOUND and _MODEL_MISSING.search(told) and not told.lstrip().startswith("<"):
        return ModelMissing(
            f"ollama: the model {model} is not there",
            hint=f"`ollama pull {model}`, or set BRAIN_OLLAMA_PULL=true",
        )
    if error.status_code in (NOT_FOUND, METHOD_NOT_ALLOWED):
        return _wrong_server(url, f"it answers with HTTP {error.status_code}")
    if error.status_code == SERVICE_UNAVAILABLE:
        return Busy(f"ollama: {told[:200]}", retry_after_s=BUSY_RETRY_S)
    if told.lstrip().startswith("<"):  # a page, as proxies answer
        return BadStream(
            f"ollama: what answers at {url} is not Ollama (HTTP {error.status_code})", hint="check BRAIN_OLLAMA_URL"
        )
    return BadStream(f"ollama: {told[:200]}")


def _wrong_server(url: str, found: str) -> WrongServer:
    base = re.sub(r"/(?:v1|api)(?:/.*)?$", "", url.rstrip("/"))
    known = "an address of the OpenAI-compatible or raw API; " if base != url.rstrip("/") else ""
    return WrongServer(
        f"BRAIN_OLLAMA_URL={url} is not the address of an Ollama server: {found}",
        hint=f"{known}give the server's own address without a path, e.g. {base if known else 'http://localhost:11434'}",
    )
