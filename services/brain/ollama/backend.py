"""The backend: a reply from a model, with its tools."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import structlog

from oviya.errors import OviyaError, Timeout
from services.brain.backend import MAX_SUMMARY_CHARS, Condition, Exchange, Sentence, Summary, Turn
from services.brain.metrics import CUT_REPLIES, THINKING, WRITTEN_CALLS
from services.brain.ollama.client import BadStream, ModelFacts, ModelMissing, OllamaClient, ToolCall
from services.brain.ollama.habit import ThinkingHabit
from services.brain.ollama.hidden import Thinking
from services.brain.ollama.prompt import Message, Prompt, summary_messages
from services.brain.ollama.speech import Hidden, Speech
from services.brain.ollama.tags import read_tags
from services.brain.ollama.tones import Tones
from services.brain.ollama.tools import ToolResult, Tools

log = structlog.get_logger()

FILLER_EMOTION = "thoughtful"
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
        self._habit = ThinkingHabit()
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
        self._habit.can_think = self._facts.can_think
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
        speech = Speech(
            self._tones,
            exchange.user_emotion,
            exchange.tone,
            max_chars=limits.max_chars,
            first_clause_chars=limits.first_clause_chars,
            habit=self._habit,
            tools=[offer["function"]["name"] for offer in self._offers],
        )
        answer = _Answer(self, speech, self._prompt.messages(exchange))
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
            for sentence in speech.flush():
                yield sentence
        raise failure

    async def summarize(self, summary: str, turns: Sequence[Turn]) -> Summary:
        messages, text, thinking = summary_messages(summary, turns), "", Thinking(self._habit)
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
        text = " ".join(tagged.text for tagged in read_tags(text + thinking.flush())).strip()[:MAX_SUMMARY_CHARS]
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


class _Answer:
    """One reply in the making: answers of the model, and calls of tools between them."""

    def __init__(self, backend: OllamaBackend, speech: Speech, messages: list[Message]) -> None:
        self._backend = backend
        self._speech = speech
        self._messages = messages
        self._degraded = ""

    async def run(self) -> AsyncGenerator[Sentence, None]:
        """Yields the reply's sentences.

        Raises:
            OviyaError: the model failed, or said nothing.
        """
        rounds, said, thought = self._backend.limits.tool_rounds, False, False
        while True:
            calls, cut, spoke = [], False, False
            # After the last round no tool is offered, so that an answer must come.
            offers = self._backend.offers if rounds else []
            async with aclosing(self._backend.chat(self._messages, offers)) as chunks:
                async for chunk in chunks:
                    calls += chunk.calls
                    thought |= chunk.thinking
                    if chunk.cut:
                        cut = True
                        CUT_REPLIES.inc()
                    for sentence in self._speech.push(chunk.text):
                        said = spoke = True
                        yield self._told(sentence)
            rest = self._speech.flush(cut=cut)
            hidden = self._speech.hidden
            spoke |= bool(rest)
            calls += self._written(hidden, calls, offers, spoke=spoke)
            self._report(hidden)
            for sentence in rest:
                said = True
                yield self._told(sentence)
            if not calls or not rounds:
                break
            rounds -= 1
            async for sentence in self._call(hidden.kept, calls):
                yield sentence
        if thought:
            THINKING.inc()
        if not said:
            raise self._nothing_said(hidden, cut=cut, thought=thought)

    def _written(
        self, hidden: Hidden, calls: Sequence[ToolCall], offers: Sequence[Mapping[str, Any]], *, spoke: bool
    ) -> list[ToolCall]:
        """Those of the calls written as text that are made: of offered tools.

        Others are made where the model said nothing else, if tools were offered at all: it is told what was wrong and
        may do better.
        """
        made: list[ToolCall] = []
        for call in hidden.calls:
            valid = bool(offers) and not self._backend.tools.refusal(call)
            if call in calls or call in made:
                continue  # the server has read it too
            if valid or (offers and not spoke):
                made.append(call)
                WRITTEN_CALLS.labels("called").inc()
            else:
                WRITTEN_CALLS.labels("dropped").inc()
                self._note("the model wrote a tool call as text that cannot be made; it was not spoken")
                log.warning("the model wrote a tool call that cannot be made", model=self._backend.model)
        return made

    def _report(self, hidden: Hidden) -> None:
        """Logs and notes what of an answer was not spoken and should not have been there."""
        model = self._backend.model
        if hidden.unread_calls:
            WRITTEN_CALLS.labels("dropped").inc(hidden.unread_calls)
            self._note("the model wrote a tool call as text that cannot be read; it was not spoken")
            log.warning("the model wrote a tool call that cannot be read", model=model)
        if hidden.swallowed:
            self._note("the model began to think and did not end; that part was not spoken")
            log.warning("thinking that never ended was not spoken", model=model, characters=hidden.swallowed)
        if hidden.unmarked:
            self._note("the model thought aloud without a mark; some of it may have been spoken")
            log.warning("the model wrote thinking without its first mark; its answers are held back from now on",
                        model=model)  # fmt: skip
        if hidden.foreign:
            log.warning("the model wrote somebody else's words; they were not spoken", model=model,
                        characters=hidden.foreign)  # fmt: skip

    def _nothing_said(self, hidden: Hidden, *, cut: bool, thought: bool) -> BadStream:
        """Why an answer holds nothing to say, and what to do."""
        thinks = thought or hidden.thought
        if cut and thinks:
            limit = f"{self._backend.num_predict} tokens" if self._backend.num_predict else "longest length"
            return BadStream(
                f"ollama: thinking used up the answer's {limit} (num_predict), and nothing was left to say",
                hint='raise num_predict in BRAIN_OLLAMA_OPTIONS, e.g. {"num_predict": 2000}, '
                "or set BRAIN_OLLAMA_THINK=false",
            )
        if thinks:
            return BadStream(
                "ollama: the answer is thinking only and holds nothing to say",
                hint="set BRAIN_OLLAMA_THINK=false, or choose another BRAIN_OLLAMA_MODEL",
            )
        if hidden.calls or hidden.unread_calls:
            return BadStream(
                "ollama: the answer is a tool call written as text that cannot be made, and holds nothing to say"
            )
        if cut:
            return BadStream(
                "ollama: the answer was cut before it held anything to say",
                hint="raise num_predict in BRAIN_OLLAMA_OPTIONS",
            )
        return BadStream("ollama: the answer holds nothing to say")

    async def _call(self, text: str, calls: list[ToolCall]) -> AsyncGenerator[Sentence, None]:
        """Calls tools and adds their answers to the messages; yields a sentence where they are slow."""
        limits, tools = self._backend.limits, self._backend.tools
        calling = asyncio.create_task(tools.call_all(calls[: limits.tool_calls]))
        try:
            await asyncio.wait({calling}, timeout=limits.filler_after_s)
            if not calling.done() and (filler := tools.filler(calls) or self._next_filler()):
                yield self._told(Sentence(filler, FILLER_EMOTION))
            results = await calling
        finally:
            calling.cancel()
            await asyncio.wait({calling})
        refused = f"not called: at most {limits.tool_calls} tools are called at once"
        results += [ToolResult(call.name, refused) for call in calls[limits.tool_calls :]]
        requested = [{"function": {"name": call.name, "arguments": dict(call.arguments)}} for call in calls]
        self._messages.append({"role": "assistant", "content": text, "tool_calls": requested})
        for result in results:
            self._messages.append({"role": "tool", "tool_name": result.name, "content": result.content})
            if result.failure:
                self._note(f"the tool {result.name[:64]} failed: {result.failure}; the answer does without it")

    def _next_filler(self) -> str:
        """Something to say while a tool is slow, another one as the conversation goes on; empty: nothing."""
        fillers = self._backend.limits.fillers
        return fillers[len(self._messages) % len(fillers)] if fillers else ""

    def _note(self, problem: str) -> None:
        self._degraded = f"{self._degraded}; {problem}" if self._degraded else problem

    def _told(self, sentence: Sentence) -> Sentence:
        degraded, self._degraded = self._degraded, ""
        return replace(sentence, degraded=degraded) if degraded else sentence
