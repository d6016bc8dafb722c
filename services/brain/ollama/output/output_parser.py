"""Parses a model's tokens into sentences: removes thinking and code, cuts early, reads emotions, verbalizes text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Iterable, Iterator
from dataclasses import dataclass

from oviya.text.segmenter import Segment, Segmenter
from oviya.text.sentences import SpokenText, Verbalizer
from services.brain.backend import Sentence, Tone
from services.brain.emotions import default_emotion
from services.brain.metrics import EMOTION_TAGS, HIDDEN_TEXT, THINKING
from services.brain.ollama.client import ToolCall
from services.brain.ollama.output.code_block_filter import CodeBlockFilter
from services.brain.ollama.output.emotion_tags import TaggedText, read_emotion_tags
from services.brain.ollama.output.template_parser import TemplateParser
from services.brain.ollama.output.thinking_profile import ThinkingProfile
from services.brain.ollama.tools.tool_call_parser import ToolCallParser

STEP_CHARS = 256
"""Characters parsed before the event loop can serve others: some servers send a whole answer at once."""


async def paced(steps: Iterable[list[Sentence]]) -> AsyncGenerator[Sentence, None]:
    """Yields the sentences of `steps`; returns to the event loop after each step."""
    for step in steps:
        for sentence in step:
            yield sentence
        await asyncio.sleep(0)


def _slices(text: str) -> Iterator[str]:
    return (text[at : at + STEP_CHARS] for at in range(0, len(text), STEP_CHARS))


@dataclass(frozen=True, slots=True)
class ParsedAnswer:
    """What an answer contained besides its sentences.

    Attributes:
        text: the answer without everything below.
        tool_calls: tool calls that were written as text.
        unreadable_calls: texts that looked like a tool call and could not be parsed.
        thinking_chars: characters of thinking that were removed.
        unclosed_thinking_chars: those of them without a closing marker.
        has_unmarked_thinking: the answer contained thinking without an opening marker.
        other_role_chars: characters that the model wrote in another role.
    """

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    unreadable_calls: int = 0
    thinking_chars: int = 0
    unclosed_thinking_chars: int = 0
    has_unmarked_thinking: bool = False
    other_role_chars: int = 0


class OutputParser:
    """Parses the answers that make up one reply.

    Args:
        user_emotion: what the user feels; empty: unknown.
        tone: the tone to answer in; None: by what the user feels.
        max_chars: longest sentence.
        first_clause_chars: length from which the first clause is returned before its sentence is complete; 0: never.
        profile: how the model writes its thinking; None: nothing is known.
        tools: names of the declared tools.
        language: language of the answers (BCP 47); empty: unknown.
    """

    def __init__(
        self,
        user_emotion: str,
        tone: Tone | None = None,
        *,
        max_chars: int,
        first_clause_chars: int,
        profile: ThinkingProfile | None = None,
        tools: Collection[str] = (),
        language: str = "",
    ) -> None:
        self._profile = profile or ThinkingProfile()
        self._tools = tools
        self._language = language
        self.answer = ParsedAnswer()
        """The last answer that ended."""
        self._user_emotion, self._tone = user_emotion, tone
        self._limits = {"max_chars": max_chars, "first_clause_chars": first_clause_chars}
        self._emotion = ""  # of the previous sentence
        self._next_emotion = ""  # of an emotion tag without text, for the next sentence
        self._begin()

    def push(self, text: str) -> Iterator[list[Sentence]]:
        """Adds tokens; yields the sentences that are complete, in steps of a few milliseconds."""
        for part in _slices(text):
            yield from self._parse(self._template.push(part))

    def flush(self, *, cut: bool = False) -> Iterator[list[Sentence]]:
        """Ends an answer; yields the remaining sentences, in steps.  The answer has ended when they are exhausted.

        Another answer may follow, e.g. after a tool call.

        Args:
            cut: the answer ended because it reached its longest length.
        """
        yield from self._parse(self._template.flush(cut=cut))
        self._kept.append(held := self._calls.flush())
        yield from self._segment(self._code.push(held) + self._code.flush())
        for segment in self._segmenter.flush():
            yield self._sentences(segment)
        if spoken := self._verbalizer.finish():
            yield [self._sentence(spoken, starts=True, tagged=False)]
        self._finish()
        self._begin()

    def _begin(self) -> None:
        self._template = TemplateParser(self._profile)
        self._has_unmarked_thinking = False
        self._begin_text()

    def _begin_text(self) -> None:
        self._calls, self._code = ToolCallParser(self._tools), CodeBlockFilter()
        self._segmenter, self._verbalizer = Segmenter(**self._limits), Verbalizer(self._language)
        self._kept: list[str] = []

    def _parse(self, text: str) -> Iterator[list[Sentence]]:
        """The sentences of `text`, which the template parser returned."""
        if self._template.retracted:  # the text before was thinking
            self._template.retracted = False
            self._has_unmarked_thinking, self._emotion, self._next_emotion = True, "", ""
            self._begin_text()
        for part in _slices(text):
            self._kept.append(shown := self._calls.push(part))
            yield from self._segment(self._code.push(shown))
            yield []

    def _segment(self, text: str) -> Iterator[list[Sentence]]:
        for part in _slices(text):
            for segment in self._segmenter.push(part):
                yield self._sentences(segment)

    def _finish(self) -> None:
        template, calls = self._template, self._calls
        for tool, body in template.calls:
            calls.add(body, tool)
        self.answer = ParsedAnswer(
            text="".join(self._kept),
            tool_calls=tuple(calls.calls),
            unreadable_calls=calls.unreadable,
            thinking_chars=template.thinking_chars,
            unclosed_thinking_chars=template.unclosed_thinking_chars,
            has_unmarked_thinking=self._has_unmarked_thinking,
            other_role_chars=template.other_role_chars,
        )
        if template.thinking_chars:
            THINKING.inc()
        for kind, amount in (
            ("unclosed thinking", template.unclosed_thinking_chars),
            ("unmarked thinking", self._has_unmarked_thinking),
            ("another speaker", template.other_role_chars),
            ("unread tool call", calls.unreadable),
        ):
            if amount:
                HIDDEN_TEXT.labels(kind).inc()

    def _sentences(self, segment: Segment) -> list[Sentence]:
        found = (self._tagged(part, starts=segment.starts_sentence) for part in read_emotion_tags(segment.text))
        return [sentence for sentence in found if sentence is not None]

    def _tagged(self, part: TaggedText, *, starts: bool) -> Sentence | None:
        is_tagged = part.kind != "missing"
        if is_tagged:
            EMOTION_TAGS.labels(part.kind).inc()
            self._next_emotion = part.emotion
        spoken = self._verbalizer.add(part.text)
        return self._sentence(spoken, starts=starts, tagged=is_tagged) if spoken else None

    def _sentence(self, spoken: SpokenText, *, starts: bool, tagged: bool) -> Sentence:
        if not tagged and not self._next_emotion and starts:
            EMOTION_TAGS.labels("missing").inc()
        # Without a tag, a sentence keeps the emotion of the previous one; the first one answers the user's feeling.
        emotion = self._next_emotion or self._emotion or default_emotion(spoken.text, self._user_emotion, self._tone)
        self._emotion, self._next_emotion = emotion, ""
        return Sentence(spoken.text, emotion, spoken=spoken.spoken, language=self._language)
