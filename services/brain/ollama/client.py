"""A client of one Ollama server and one model: the `ollama` package with time-outs and typed errors."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
import ollama

from oviya.streams import wait_for
from services.brain.ollama.errors import INVALID_JSON, UNEXPECTED_SHAPE, BadStream, typed_errors, wrong_server
from services.brain.ollama.network import is_private, without_secrets
from services.brain.settings import BrainSettings

T = TypeVar("T")

_THINK: dict[str, bool | None] = {"false": False, "true": True, "default": None}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call of the model."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Chunk:
    """One message of a streamed answer.

    Attributes:
        text: the next part of the answer.
        thinking: whether the message contains thinking.
        calls: tool calls.
        cut: the answer ends because it reached its longest length.
    """

    text: str = ""
    thinking: bool = False
    calls: tuple[ToolCall, ...] = ()
    cut: bool = False


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the server reports about the model.

    Attributes:
        capabilities: "completion", "tools", "thinking" ...
        template: the chat template.
    """

    capabilities: frozenset[str] = frozenset()
    template: str = ""


class OllamaClient:
    """Calls one model."""

    def __init__(self, settings: BrainSettings) -> None:
        self.model = settings.ollama_model
        """Name of the model."""
        self.info = ModelInfo()
        """What the server reported in `load_info`."""
        self._settings = settings
        self._url = without_secrets(settings.ollama_url)
        self._think = _THINK.get(settings.ollama_think, settings.ollama_think)
        self._keep_alive = _keep_alive(settings.ollama_keep_alive)
        # Time-outs apply to each message, below; httpx only limits the time to connect.
        self._client = ollama.AsyncClient(
            host=settings.ollama_url,
            timeout=httpx.Timeout(None, connect=settings.connect_s),
            trust_env=not is_private(settings.ollama_url),
        )

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def load_info(self) -> None:
        """Asks the server about the model.

        Raises:
            ModelMissing: the server does not have the model.
            WrongServer: the server is not Ollama.
            Unavailable, Timeout: the server cannot be reached or does not answer.
        """
        with typed_errors(self._url, self.model):
            try:
                shown = await _within(
                    self._settings.first_token_s, "the model's capabilities", self._client.show(self.model)
                )
            except (*INVALID_JSON, *UNEXPECTED_SHAPE) as error:
                raise wrong_server(self._url, "it does not answer with Ollama's JSON") from error
        self.info = ModelInfo(frozenset(shown.capabilities or ()), shown.template or "")

    async def load(self) -> None:
        """Loads the model: a chat without messages does nothing else.

        The options are those of later chats, since Ollama reloads the model if num_ctx and the like differ.

        Raises:
            OviyaError: as `chat`.
        """
        with typed_errors(self._url, self.model):
            loading = self._client.chat(
                self.model, [], keep_alive=self._keep_alive, options=self._settings.ollama_options
            )
            await _within(self._settings.load_s, f"{self.model} to be loaded", loading)

    async def pull(self, report: Callable[[str, float], None]) -> None:
        """Downloads the model to the server.

        Args:
            report: called with the current step and its progress, 0 to 1.

        Raises:
            OviyaError: the download failed.
        """
        done = False
        with typed_errors(self._url, self.model):
            progress = await self._client.pull(self.model, stream=True)
            try:
                async for step in progress:
                    report(step.status or "pulling", (step.completed or 0) / step.total if step.total else 0.0)
                    done = step.status == "success"
            except ollama.ResponseError as error:  # an unknown name, an unreachable registry, a full disk
                raise BadStream(
                    f"ollama: the model {self.model} cannot be downloaded ({str(error.error)[:200]})",
                    hint="is BRAIN_OLLAMA_MODEL a name of ollama.com/library, and does that server reach it?",
                ) from error
            if not done:
                raise BadStream("ollama: the download ended before it was complete", hint="a retry resumes it")

    async def chat(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()
    ) -> AsyncGenerator[Chunk, None]:
        """Streams an answer.

        Args:
            messages: the conversation, as /api/chat expects it.
            tools: definitions of the tools that the model may call.

        Raises:
            Timeout: a token took too long.
            Unavailable, Busy, ModelMissing: the server cannot answer now.
            BadStream: the response is not valid, or incomplete.
        """
        with typed_errors(self._url, self.model):
            stream: AsyncIterator[ollama.ChatResponse] = await self._client.chat(
                self.model,
                messages,
                tools=tools,
                stream=True,
                think=self._think if "thinking" in self.info.capabilities else None,
                keep_alive=self._keep_alive,
                options=self._settings.ollama_options,
            )
            timeout_s, awaited = self._settings.first_token_s, "the first token"
            async with aclosing(stream) as parts:  # pyright: ignore[reportArgumentType]
                while True:
                    part = await _within(timeout_s, awaited, anext(parts, None))
                    if part is None:
                        raise BadStream("ollama: the answer broke off")
                    yield _chunk(part)
                    if part.done:
                        return
                    timeout_s, awaited = self._settings.token_gap_s, "the next token"


def _chunk(part: ollama.ChatResponse) -> Chunk:
    message = part.message
    return Chunk(
        text=message.content or "",
        thinking=bool(message.thinking),
        calls=tuple(ToolCall(call.function.name, call.function.arguments) for call in message.tool_calls or ()),
        cut=part.done_reason == "length",
    )


def _keep_alive(setting: str) -> str | float:
    """Ollama reads a number as seconds, and a string as a duration with a unit."""
    try:
        return float(setting)
    except ValueError:
        return setting


async def _within(seconds: float, what: str, work: Awaitable[T]) -> T:
    """Like `wait_for`, with an error that names Ollama and `what` was awaited."""
    return await wait_for(work, seconds, f"ollama: nothing came for {seconds:g} s while waiting for {what}")
