"""One reply in the making: answers of the model, and calls of tools between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import structlog

from services.brain.backend import Sentence
from services.brain.metrics import CUT_REPLIES, THINKING, WRITTEN_CALLS
from services.brain.ollama.client import BadStream, ToolCall
from services.brain.ollama.output.output_parser import OutputParser, ParsedAnswer, paced
from services.brain.ollama.prompt import Message
from services.brain.ollama.tools.tool_executor import ToolResult

if TYPE_CHECKING:
    from services.brain.ollama.backend import OllamaBackend

log = structlog.get_logger()

FILLER_EMOTION = "thoughtful"


class Answer:
    """One reply in the making: answers of the model, and calls of tools between them."""

    def __init__(self, backend: OllamaBackend, parser: OutputParser, messages: list[Message]) -> None:
        self._backend = backend
        self._parser = parser
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
                    async for sentence in paced(self._parser.push_steps(chunk.text)):
                        said = spoke = True
                        yield self._told(sentence)
            rest = [sentence async for sentence in paced(self._parser.flush_steps(cut=cut))]
            hidden = self._parser.answer
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
        self, hidden: ParsedAnswer, calls: Sequence[ToolCall], offers: Sequence[Mapping[str, Any]], *, spoke: bool
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

    def _report(self, hidden: ParsedAnswer) -> None:
        """Logs and notes what of an answer was not spoken and should not have been there."""
        model = self._backend.model
        if hidden.unreadable_calls:
            WRITTEN_CALLS.labels("dropped").inc(hidden.unreadable_calls)
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

    def _nothing_said(self, hidden: ParsedAnswer, *, cut: bool, thought: bool) -> BadStream:
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
        if hidden.calls or hidden.unreadable_calls:
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
