"""The backend: a reply from a model, with its tools."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import structlog

from oviya.errors import OviyaError, Timeout
from services.brain.backend import MAX_SUMMARY_CHARS, Condition, Exchange, Sentence, Summary, Turn
from services.brain.ollama.client import BadStream, ModelFacts, ModelMissing, OllamaClient
from services.brain.ollama.output.emotion_tags import read_emotion_tags
from services.brain.ollama.output.output_parser import OutputParser, paced
from services.brain.ollama.output.template_parser import TemplateParser
from services.brain.ollama.output.thinking_profile import ThinkingProfile
from services.brain.ollama.prompt import Message, Prompt, summary_messages
from services.brain.ollama.tones import Tones
from services.brain.ollama.tool_loop import Answer
from services.brain.ollama.tools.tool_executor import Tools

log = structlog.get_logger()

PROGRESS_STEP = 0.1
"""Share of a download after which it is logged again."""


@dataclass(frozen=True)
class ReplyLimits:
    """What one reply may take.

    Args:
        first_sentence_s: longest time in seconds to the first sentence; a model that only thinks is given up then.
        max_chars: longest sentence.
        first_clause_chars: length from which the first clause leaves alone; 0: never.
        tool_rounds: how often the model may call tools before it has to answer.
        tool_calls: calls in one round that are made; further ones are refused.
        filler_after_s: time in seconds after which a slow tool is covered by a sentence.
        fillers: what is said then, in turns; empty: nothing.
        summary_s: longest time in seconds for a summary.
        load_s: longest time in seconds for loading the model.
    """

    first_sentence_s: float
    max_chars: int
    first_clause_chars: int
    tool_rounds: int
    tool_calls: int
    filler_after_s: float
    fillers: Sequence[str]
    summary_s: float
    load_s: float


class OllamaBackend:
    """Ollama as a `Backend`.

    Args:
        client: the server and the model.
        tools: functions that the model may call.
        limits: what one reply may take.
        persona: who the model is; empty: Oviya.
        model: the model's name.
        pull: whether a missing model may be downloaded.
    """

    name = "ollama"

    def __init__(
        self, client: OllamaClient, tools: Tools, limits: ReplyLimits, *, persona: str, model: str, pull: bool
    ) -> None:
        self._client = client
        self._tools = tools
        self._limits = limits
        self._model = model
        self._pull = pull
        self._tones = Tones()
        self._offers = tools.offers()
        self._persona = persona
        self._facts = ModelFacts()
        self._profile = ThinkingProfile()
        self._doing = ""
        self._lacks_tools = False
        self._prompt = Prompt(persona, self._tones, with_tools=False)

    async def warm(self) -> None:
        """Finds the model, downloads it where that is allowed, and loads it.

        Raises:
            ModelMissing: the server does not have it, and it may not be downloaded.
            WrongServer: what answers at the address is not Ollama.
            OviyaError: the server cannot be reached or cannot load it.
        """
        try:
            self._facts = await self._client.facts()
        except ModelMissing:
            if not self._pull:
                raise
            await self._download()
            self._facts = await self._client.facts()
        self._profile.can_think = self._facts.can_think
        self._lacks_tools = bool(self._offers) and "tools" not in self._facts.capabilities
        if self._lacks_tools:
            log.warning("the model cannot call tools; none is offered", model=self._model)
        self._prompt = Prompt(self._persona, self._tones, with_tools=bool(self.offers))
        await self._client.load(self._limits.load_s)

    async def close(self) -> None:
        await self._client.close()
        await self._tools.close()

    def condition(self) -> Condition:
        if self._doing:
            return Condition(self._model, self._doing)
        if self._lacks_tools:
            return Condition(self._model, f"the model {self._model} cannot call tools; it answers without")
        return Condition(self._model)

    async def reply(self, exchange: Exchange) -> AsyncGenerator[Sentence, None]:
        """Answers sentence by sentence.

        Raises:
            OviyaError: the model failed; what it had said until then has been yielded.
        """
        limits = self._limits
        parser = OutputParser(
            self._tones,
            exchange.user_emotion,
            exchange.tone,
            max_chars=limits.max_chars,
            first_clause_chars=limits.first_clause_chars,
            profile=self._profile,
            tools=[offer["function"]["name"] for offer in self._offers],
        )
        answer = Answer(self, parser, self._prompt.messages(exchange))
        loop = asyncio.get_running_loop()
        deadline, said, failure = loop.time() + limits.first_sentence_s, False, None
        async with aclosing(answer.run()) as sentences:
            while True:
                try:
                    async with asyncio.timeout_at(None if said else deadline):
                        sentence = await anext(sentences, None)
                except TimeoutError as error:
                    raise Timeout(f"ollama: no sentence came within {limits.first_sentence_s:g} s") from error
                except OviyaError as error:
                    failure = error
                    break
                if sentence is None:
                    break
                said = True
                yield sentence
        if failure is None:
            return
        if said:  # what the model had begun to say; a mere beginning is left to whoever answers instead
            async for sentence in paced(parser.flush_steps(cut=True)):
                yield sentence
        raise failure

    async def summarize(self, summary: str, turns: Sequence[Turn]) -> Summary:
        messages, text, thinking = summary_messages(summary, turns), "", TemplateParser(self._profile)
        try:
            async with asyncio.timeout(self._limits.summary_s), aclosing(self.chat(messages, ())) as chunks:
                async for chunk in chunks:
                    more = thinking.push(chunk.text)
                    text = more if thinking.retracted else text + more
                    thinking.retracted = False
                    if len(text) >= MAX_SUMMARY_CHARS:
                        break
        except TimeoutError as error:
            raise Timeout(f"ollama: no summary came within {self._limits.summary_s:g} s") from error
        # A model that is used to tags writes them here too.
        text = " ".join(tagged.text for tagged in read_emotion_tags(text + thinking.flush())).strip()[:MAX_SUMMARY_CHARS]
        if not text:
            raise BadStream("ollama: the summary is empty")
        return Summary(text)

    # --- For one answer -----------------------------------------------------------------------------------------------

    def chat(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> AsyncGenerator[Any, None]:
        """Streams an answer of the model."""
        return self._client.chat(messages, tools, think="thinking" in self._facts.capabilities)

    @property
    def offers(self) -> list[dict[str, Any]]:
        """The tools that the model is offered: none where it cannot call them."""
        return self._offers if "tools" in self._facts.capabilities else []

    @property
    def tools(self) -> Tools:
        """Calls them."""
        return self._tools

    @property
    def num_predict(self) -> int:
        """Longest answer in tokens; 0: the server's own limit."""
        limit = self._client.options.get("num_predict")
        return int(limit) if isinstance(limit, int | float) and limit > 0 else 0

    @property
    def model(self) -> str:
        """Name of the model."""
        return self._model

    @property
    def limits(self) -> ReplyLimits:
        """What one reply may take."""
        return self._limits

    async def _download(self) -> None:
        told = -1.0

        def tell(step: str, share: float) -> None:
            nonlocal told
            self._doing = f"the model {self._model} is being downloaded: {step} {share:.0%}"
            if share < told or share >= told + PROGRESS_STEP:
                told = share
                log.info("downloading the model", model=self._model, step=step, share=f"{share:.0%}")

        try:
            await self._client.pull(tell)
        finally:
            self._doing = ""
