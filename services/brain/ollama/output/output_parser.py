"""From a model's tokens to sentences: thinking and code out, cut early, emotion read, written text said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Iterable, Iterator
from dataclasses import dataclass

from oviya.text.segmenter import Piece, Segmenter
from oviya.text.sentences import Narrator, Said
from services.brain.backend import Sentence, Tone
from services.brain.metrics import EMOTION_TAGS, HIDDEN_TEXT, THINKING
from services.brain.ollama.client import ToolCall
from services.brain.ollama.output.code_block_filter import CodeBlockFilter
from services.brain.ollama.output.emotion_tags import TaggedText, read_emotion_tags
from services.brain.ollama.output.template_parser import TemplateParser
from services.brain.ollama.output.thinking_profile import ThinkingProfile
from services.brain.ollama.tones import Tones
from services.brain.ollama.tools.tool_call_parser import ToolCallParser

STEP_CHARS = 256
"""Characters of a stream that are worked on at once: servers send tokens, some send whole answers."""


async def paced(steps: Iterable[list[Sentence]]) -> AsyncGenerator[Sentence, None]:
    """Yields the sentences of `steps`; the event loop serves others after each step."""
    for step in steps:
        for sentence in step:
            yield sentence
        await asyncio.sleep(0)


def _slices(text: str) -> Iterator[str]:
    return (text[at : at + STEP_CHARS] for at in range(0, len(text), STEP_CHARS))


@dataclass(frozen=True, slots=True)
class ParsedAnswer:
    """What an answer held beside what is said.

    Attributes:
        calls: tool calls that were written as text.
        unreadable_calls: texts that looked like a tool call and could not be read.
        thought: characters of thinking that were removed.
        swallowed: characters that were removed as thinking that never ended.
        unmarked: thinking was written that no mark began.
        foreign: characters that were written in the name of somebody else.
        kept: the text without all this.
    """

    calls: tuple[ToolCall, ...] = ()
    unreadable_calls: int = 0
    thought: int = 0
    swallowed: int = 0
    unmarked: bool = False
    foreign: int = 0
    kept: str = ""


class OutputParser:
    """One reply.

    Args:
        tones: the emotions of sentences whose emotion is not given.
        user_emotion: what the user feels; empty: unknown.
        tone: which tone to answer in; None: by what the user feels.
        max_chars: longest sentence.
        first_clause_chars: length from which the first clause leaves alone; 0: never.
        profile: how the model thinks aloud; None: nothing is known.
        tools: names of the declared tools.
    """

    def __init__(
        self,
        tones: Tones,
        user_emotion: str,
        tone: Tone | None = None,
        *,
        max_chars: int,
        first_clause_chars: int,
        profile: ThinkingProfile | None = None,
        tools: Collection[str] = (),
    ) -> None:
        self._profile = profile or ThinkingProfile()
        self._tools = tools
        self.answer = ParsedAnswer()
        """What the last answer that ended held beside what is said."""
        self._tones = tones
        self._user_emotion, self._tone = user_emotion, tone
        self._limits = {"max_chars": max_chars, "first_clause_chars": first_clause_chars}
        self._emotion = ""  # of the sentence before
        self._given = ""  # by a tag that stands alone, for the sentence after it
        self._begin()

    def push(self, text: str) -> list[Sentence]:
        """Takes the next tokens; returns the sentences that they complete."""
        return [sentence for step in self.push_steps(text) for sentence in step]

    def push_steps(self, text: str) -> Iterator[list[Sentence]]:
        """Like `push`, in steps of some milliseconds each: an event loop can serve others between them."""
        for part in _slices(text):
            yield from self._read(self._thinking.push(part))

    def flush(self, *, cut: bool = False) -> list[Sentence]:
        """Ends an answer; returns what is left of it.  Another may follow, as after a tool's call.

        Args:
            cut: the answer ended because it reached its longest length.
        """
        return [sentence for step in self.flush_steps(cut=cut) for sentence in step]

    def flush_steps(self, *, cut: bool = False) -> Iterator[list[Sentence]]:
        """Like `flush`, in steps.  The answer has ended when they are exhausted."""
        yield from self._read(self._thinking.flush(cut=cut))
        self._kept.append(held := self._calls.flush())
        yield from self._segment(self._code.push(held) + self._code.flush())
        for piece in self._segmenter.flush():
            yield self._said(piece)
        if said := self._narrator.finish():
            yield [self._sentence(said, starts=True, tagged=False)]
        self._report()
        self._begin()

    def _begin(self) -> None:
        self._thinking = TemplateParser(self._profile)
        self._unmarked = False
        self._begin_text()

    def _begin_text(self) -> None:
        self._calls, self._code, self._segmenter = ToolCallParser(self._tools), CodeBlockFilter(), Segmenter(**self._limits)
        self._narrator = Narrator()
        self._kept: list[str] = []

    def _read(self, text: str) -> Iterator[list[Sentence]]:
        """The sentences of `text`, which holds no thinking.  What came before it is dropped where that was thinking."""
        if self._thinking.retracted:
            self._thinking.retracted = False
            self._unmarked, self._emotion, self._given = True, "", ""
            self._begin_text()
        for part in _slices(text):
            self._kept.append(shown := self._calls.push(part))
            yield from self._segment(self._code.push(shown))
            yield []

    def _segment(self, text: str) -> Iterator[list[Sentence]]:
        for part in _slices(text):
            for piece in self._segmenter.push(part):
                yield self._said(piece)

    def _report(self) -> None:
        thinking, calls = self._thinking, self._calls
        for recipient, body in thinking.calls:
            calls.add(body, recipient)
        self.answer = ParsedAnswer(
            calls=tuple(calls.calls),
            unreadable_calls=calls.unread,
            thought=thinking.removed,
            swallowed=thinking.swallowed,
            unmarked=self._unmarked,
            foreign=thinking.foreign,
            kept="".join(self._kept),
        )
        if thinking.removed:
            THINKING.inc()
        for kind, amount in (
            ("unclosed thinking", thinking.swallowed),
            ("unmarked thinking", self._unmarked),
            ("another speaker", thinking.foreign),
            ("unread tool call", calls.unread),
        ):
            if amount:
                HIDDEN_TEXT.labels(kind).inc()

    def _said(self, piece: Piece) -> list[Sentence]:
        return [
            sentence
            for tagged in read_emotion_tags(piece.text)
            if (sentence := self._tagged(tagged, starts=piece.starts)) is not None
        ]

    def _tagged(self, tagged: TaggedText, *, starts: bool) -> Sentence | None:
        if tagged.kind != "missing":
            EMOTION_TAGS.labels(tagged.kind).inc()
            self._given = tagged.emotion
        said = self._narrator.add(tagged.text)
        return self._sentence(said, starts=starts, tagged=tagged.kind != "missing") if said else None

    def _sentence(self, said: Said, *, starts: bool, tagged: bool) -> Sentence:
        if not tagged and not self._given and starts:
            EMOTION_TAGS.labels("missing").inc()
        # A sentence without an emotion goes on in that of the one before; the first one answers the user's feeling.
        emotion = self._given or self._emotion or self._tones.default(said.text, self._user_emotion, self._tone)
        self._emotion, self._given = emotion, ""
        return Sentence(said.text, emotion, spoken=said.spoken)
