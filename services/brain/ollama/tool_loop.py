"""The tool loop of one reply: the model answers, tools are called, and the model answers again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import structlog

from oviya.tasks import cancel_and_wait
from services.brain.backend import Sentence
from services.brain.metrics import CUT_REPLIES, THINKING, WRITTEN_CALLS
from services.brain.ollama.client import OllamaClient, ToolCall
from services.brain.ollama.errors import BadStream
from services.brain.ollama.output.output_parser import OutputParser, ParsedAnswer, paced
from services.brain.ollama.prompt import Message
from services.brain.ollama.tools.tool_executor import ToolExecutor, ToolResult
from services.brain.settings import BrainSettings

log = structlog.get_logger()

FILLER_EMOTION = "thoughtful"


class ToolLoop:
    """Makes one reply.  Tool calls and their results are appended to `messages`."""

    def __init__(
        self,
        client: OllamaClient,
        executor: ToolExecutor,
        settings: BrainSettings,
        parser: OutputParser,
        messages: list[Message],
        tools: Sequence[Mapping[str, Any]],
    ) -> None:
        self._client = client
        self._executor = executor
        self._settings = settings
        self._parser = parser
        self._messages = messages
        self._tools = tools
        self._degraded = ""

    async def run(self) -> AsyncGenerator[Sentence, None]:
        """Yields the sentences of the reply.

        Raises:
            OviyaError: the model failed, or its answer has nothing to say.
        """
        rounds, any_sentence, any_thinking = self._settings.tool_rounds, False, False
        while True:
            calls, cut, spoke = [], False, False
            # The last round offers no tools, so that the model has to answer.
            tools = self._tools if rounds else ()
            async with aclosing(self._client.chat(self._messages, tools)) as chunks:
                async for chunk in chunks:
                    calls += chunk.calls
                    any_thinking |= chunk.thinking
                    if chunk.cut:
                        cut = True
                        CUT_REPLIES.inc()
                    async for sentence in paced(self._parser.push(chunk.text)):
                        any_sentence = spoke = True
                        yield self._with_problems(sentence)
            rest = [sentence async for sentence in paced(self._parser.flush(cut=cut))]
            answer = self._parser.answer
            spoke |= bool(rest)
            calls += self._written_calls(answer, calls, offered=bool(tools), spoke=spoke)
            self._report(answer)
            for sentence in rest:
                any_sentence = True
                yield self._with_problems(sentence)
            if not calls or not rounds:
                break
            rounds -= 1
            async for sentence in self._call_tools(answer.text, calls):
                yield sentence
        if any_thinking:
            THINKING.inc()
        if not any_sentence:
            raise self._nothing_to_say(answer, cut=cut, thought=any_thinking)

    def _written_calls(
        self, answer: ParsedAnswer, calls: Sequence[ToolCall], *, offered: bool, spoke: bool
    ) -> list[ToolCall]:
        """The calls written as text that are executed.

        Invalid calls are executed only if the model said nothing else: it receives the error and can correct the call.
        """
        written: list[ToolCall] = []
        for call in answer.tool_calls:
            if call in calls or call in written:
                continue  # the server has parsed it as well
            if offered and (not spoke or not self._executor.refusal(call)):
                written.append(call)
                WRITTEN_CALLS.labels("called").inc()
            else:
                WRITTEN_CALLS.labels("dropped").inc()
                self._add_problem("the model wrote a tool call as text that is not valid; it was not spoken")
                log.warning("the model wrote a tool call that is not valid", model=self._client.model)
        return written

    def _report(self, answer: ParsedAnswer) -> None:
        """Logs unexpected text of an answer and adds it to the reply's problems."""
        model = self._client.model
        if answer.unreadable_calls:
            WRITTEN_CALLS.labels("dropped").inc(answer.unreadable_calls)
            self._add_problem("the model wrote a tool call as text that cannot be parsed; it was not spoken")
            log.warning("the model wrote a tool call that cannot be parsed", model=model)
        if answer.unclosed_thinking_chars:
            self._add_problem("the model's thinking did not end; it was not spoken")
            log.warning("unclosed thinking was not spoken", model=model, characters=answer.unclosed_thinking_chars)
        if answer.has_unmarked_thinking:
            self._add_problem("the model's thinking had no opening marker; some of it may have been spoken")
            log.warning("the model wrote thinking without an opening marker; its answers are held back from now on",
                        model=model)  # fmt: skip
        if answer.other_role_chars:
            log.warning("the model wrote text of another role; it was not spoken", model=model,
                        characters=answer.other_role_chars)  # fmt: skip

    def _nothing_to_say(self, answer: ParsedAnswer, *, cut: bool, thought: bool) -> BadStream:
        """The reason why an answer has nothing to say, with a hint."""
        thinks = thought or answer.thinking_chars
        if cut and thinks:
            num_predict = self._settings.ollama_options.get("num_predict")
            is_limited = isinstance(num_predict, int | float) and num_predict > 0
            limit = f"{num_predict:.0f} tokens" if is_limited else "longest length"
            return BadStream(
                f"ollama: thinking used up the answer's {limit} (num_predict), and nothing was left to say",
                hint='raise num_predict in BRAIN_OLLAMA_OPTIONS, e.g. {"num_predict": 2000}, '
                "or set BRAIN_OLLAMA_THINK=false",
            )
        if thinks:
            return BadStream(
                "ollama: the answer is thinking only and has nothing to say",
                hint="set BRAIN_OLLAMA_THINK=false, or choose another BRAIN_OLLAMA_MODEL",
            )
        if answer.tool_calls or answer.unreadable_calls:
            return BadStream("ollama: the answer is a tool call written as text that is not valid, with nothing to say")
        if cut:
            return BadStream(
                "ollama: the answer reached its longest length and has nothing to say",
                hint="raise num_predict in BRAIN_OLLAMA_OPTIONS",
            )
        return BadStream("ollama: the answer has nothing to say")

    async def _call_tools(self, text: str, calls: list[ToolCall]) -> AsyncGenerator[Sentence, None]:
        """Calls tools and appends their results to the messages; yields a filler sentence if they are slow."""
        limit = self._settings.tool_calls
        running = asyncio.create_task(self._executor.call_all(calls[:limit]))
        try:
            await asyncio.wait({running}, timeout=self._settings.tool_filler_after_s)
            if not running.done() and (filler := self._executor.filler(calls) or self._next_filler()):
                yield self._with_problems(Sentence(filler, FILLER_EMOTION))
            results = await running
        finally:
            await cancel_and_wait(running)
        refused = f"not called: at most {limit} tools are called at once"
        results += [ToolResult(call.name, refused) for call in calls[limit:]]
        requested = [{"function": {"name": call.name, "arguments": dict(call.arguments)}} for call in calls]
        self._messages.append({"role": "assistant", "content": text, "tool_calls": requested})
        for result in results:
            self._messages.append({"role": "tool", "tool_name": result.name, "content": result.content})
            if result.failure:
                self._add_problem(f"the tool {result.name[:64]} failed: {result.failure}; the answer does without it")

    def _next_filler(self) -> str:
        """A sentence for slow tools, a different one as the conversation continues; empty: none."""
        fillers = self._settings.tool_fillers
        return fillers[len(self._messages) % len(fillers)] if fillers else ""

    def _add_problem(self, problem: str) -> None:
        self._degraded = f"{self._degraded}; {problem}" if self._degraded else problem

    def _with_problems(self, sentence: Sentence) -> Sentence:
        """`sentence` with the problems since the sentence before."""
        degraded, self._degraded = self._degraded, ""
        return replace(sentence, degraded=degraded) if degraded else sentence
