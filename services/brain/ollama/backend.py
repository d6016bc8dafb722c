"""The Ollama backend: replies and summaries by a language model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import structlog

from oviya.errors import OviyaError, Timeout
from services.brain.backend import MAX_SUMMARY_CHARS, BackendStatus, Exchange, Sentence, Summary, Turn
from services.brain.ollama.client import OllamaClient
from services.brain.ollama.errors import BadStream, ModelMissing
from services.brain.ollama.output.emotion_tags import read_emotion_tags
from services.brain.ollama.output.output_parser import OutputParser, paced
from services.brain.ollama.output.template_parser import TemplateParser
from services.brain.ollama.output.thinking_profile import ThinkingProfile, has_thinking_markers
from services.brain.ollama.prompt import Prompt, summary_messages
from services.brain.ollama.tool_loop import ToolLoop
from services.brain.ollama.tools.tool_executor import ToolExecutor
from services.brain.settings import BrainSettings

log = structlog.get_logger()

PROGRESS_STEP = 0.1
"""Share of a download after which its progress is logged again."""


class OllamaBackend:
    """A model on an Ollama server, as a `Backend`.

    Raises:
        OviyaError: two tools have the same name.
    """

    name = "ollama"

    def __init__(self, settings: BrainSettings) -> None:
        self._settings = settings
        self._client = OllamaClient(settings)
        self._executor = ToolExecutor(settings.all_tools())
        self._tools = self._executor.definitions()
        self._profile = ThinkingProfile()
        self._download = ""  # progress of a download
        self._cannot_call_tools = False
        self._prompt = Prompt(settings.persona, with_tools=False)

    async def warm(self) -> None:
        """Finds the model, downloads it if that is allowed, and loads it.

        Raises:
            ModelMissing: the server does not have the model, and downloads are not allowed.
            WrongServer: the server is not Ollama.
            OviyaError: the server cannot be reached or cannot load the model.
        """
        try:
            await self._client.load_info()
        except ModelMissing:
            if not self._settings.ollama_pull:
                raise
            await self._pull()
            await self._client.load_info()
        info = self._client.info
        self._profile.can_think = "thinking" in info.capabilities or has_thinking_markers(info.template)
        self._cannot_call_tools = bool(self._tools) and "tools" not in info.capabilities
        if self._cannot_call_tools:
            log.warning("the model cannot call tools; none is offered", model=self._client.model)
        self._prompt = Prompt(self._settings.persona, with_tools=bool(self._offered_tools()))
        await self._client.load()

    async def close(self) -> None:
        await self._client.close()
        await self._executor.close()

    def status(self) -> BackendStatus:
        model = self._client.model
        if self._download:
            return BackendStatus(model, self._download)
        if self._cannot_call_tools:
            return BackendStatus(model, f"the model {model} cannot call tools; it answers without")
        return BackendStatus(model)

    async def reply(self, exchange: Exchange) -> AsyncGenerator[Sentence, None]:
        """Yields the sentences of a reply.

        Raises:
            OviyaError: the model failed; the sentences before the failure have been yielded.
        """
        settings = self._settings
        parser = OutputParser(
            exchange.user_emotion,
            exchange.tone,
            max_chars=settings.max_sentence_chars,
            first_clause_chars=settings.first_clause_chars,
            profile=self._profile,
            tools=[tool["function"]["name"] for tool in self._tools],
            language=exchange.language,
        )
        messages, tools = self._prompt.messages(exchange), self._offered_tools()
        tool_loop = ToolLoop(self._client, self._executor, settings, parser, messages, tools)
        deadline = asyncio.get_running_loop().time() + settings.first_sentence_s
        spoke, failure = False, None
        async with aclosing(tool_loop.run()) as sentences:
            while True:
                try:
                    async with asyncio.timeout_at(None if spoke else deadline):
                        sentence = await anext(sentences, None)
                except TimeoutError as error:
                    raise Timeout(f"ollama: no sentence came within {settings.first_sentence_s:g} s") from error
                except OviyaError as error:
                    failure = error
                    break
                if sentence is None:
                    break
                spoke = True
                yield sentence
        if failure is None:
            return
        if spoke:  # the incomplete sentence is spoken only after a complete one; otherwise another backend answers
            async for sentence in paced(parser.flush(cut=True)):
                yield sentence
        raise failure

    async def summarize(self, summary: str, turns: Sequence[Turn]) -> Summary:
        text, parser, limit_s = "", TemplateParser(self._profile), self._settings.summary_s
        try:
            async with (
                asyncio.timeout(limit_s),
                aclosing(self._client.chat(summary_messages(summary, turns))) as chunks,
            ):
                async for chunk in chunks:
                    more = parser.push(chunk.text)
                    text = more if parser.retracted else text + more
                    parser.retracted = False
                    if len(text) >= MAX_SUMMARY_CHARS:
                        break
        except TimeoutError as error:
            raise Timeout(f"ollama: no summary came within {limit_s:g} s") from error
        # The model may write emotion tags here as well.
        parts = (part.text for part in read_emotion_tags(text + parser.flush()))
        text = " ".join(parts).strip()[:MAX_SUMMARY_CHARS]
        if not text:
            raise BadStream("ollama: the summary is empty")
        return Summary(text)

    def _offered_tools(self) -> list[dict[str, Any]]:
        """Definitions of the tools; empty if the model cannot call tools."""
        return self._tools if "tools" in self._client.info.capabilities else []

    async def _pull(self) -> None:
        model, logged = self._client.model, -1.0

        def report(step: str, share: float) -> None:
            nonlocal logged
            self._download = f"the model {model} is being downloaded: {step} {share:.0%}"
            if share < logged or share >= logged + PROGRESS_STEP:
                logged = share
                log.info("downloading the model", model=model, step=step, share=f"{share:.0%}")

        try:
            await self._client.pull(report)
        finally:
            self._download = ""
