"""The listener backend."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from oviya.text.language_tags import is_english
from services.brain.backend import BackendStatus, Exchange, Sentence, Summary, Turn
from services.brain.emotions import default_emotion
from services.brain.listener.interpreter import Interpretation, Interpreter
from services.brain.listener.interrupted_reply import UNHEARD_RULE, unheard_sentences
from services.brain.listener.loader import load_script
from services.brain.listener.memory import Finder, Memory, MemoryBuilder, SpokenSentences
from services.brain.listener.reflect import reflect
from services.brain.listener.reply import CRISIS, ReplyBuilder
from services.brain.listener.script import SLOT, Rule
from services.brain.listener.summary import extract, told_in
from services.brain.listener.utterance import CONJUNCTIONS, Utterance, UtteranceParser, sentences_of
from services.brain.tables import DATA

MAX_MIRROR_WORDS = 12
"""Longest part of the user's words that is mirrored."""
_CLAUSE_STARTS = re.compile(
    r" (?:because|but|so|since|although|which|who|unless|and (?:i|he|she|it|they|we|you|then|now|my)) "
)
_TRAILING = re.compile(
    r"(?: (?:though|anyway|anyways|by the way|you know|i guess|i think|actually|please|somehow|or something|either))+$"
)
"""Words at the end that are not mirrored."""
MIN_CONTENT_CHARS = 3
_ASKING = frozenset({"what", "about", "tell", "say", "said", "told", "did", "you", "remember", "have", "the", "and"})
_QUESTION_WORDS = ("what ", "who ", "why ", "how ", "when ", "where ", "do ", "did ", "can ", "should ", "are ", "is ")
_WORD = re.compile(r"[^\W\d_]+")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+")
"""A word with a capital inside a sentence: a name, which keeps the capital when it is mirrored.  A conjunction may have
one as well: where the speaker paused, a transcript may begin a sentence without ending the one before."""

MOOD_TURNS = 2
"""Turns of the user for which a feeling sets the mood of later replies."""

CRISIS_TURNS = 6
"""Turns of the user for which the listener asks whether they are safe."""

RECALL_AFTER_TURNS = 2
"""Turns after which something that was mentioned can be recalled."""
RECALL_AGAIN_AFTER_TURNS = 6
SUMMARY_FACTS = 4

MIN_REPEATED_WORDS = 3
"""Shorter utterances ("yes", "thank you") may be repeated without a meaning."""

LANGUAGE = "en"
"""The listener understands and speaks English only."""

WARM_UP = Exchange("what should i do when i feel sad and lonely")


class Listener:
    """The reflective listener as a `Backend`.

    Raises:
        ScriptError: the data is not valid.
    """

    name = "listener"

    def __init__(self, folder: Path = DATA) -> None:
        self._script = load_script(folder)
        self._parser = UtteranceParser(self._script.fillers, self._script.greetings, self._script.emoji)
        self._finder = Finder(self._script)
        self._memory_builder = MemoryBuilder(self._script, self._parser, self._finder)
        self._interpreter = Interpreter(self._script, self._finder)
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="listener")

    async def warm(self) -> None:
        async for _ in self.reply(WARM_UP):
            pass

    async def reply(self, exchange: Exchange) -> AsyncGenerator[Sentence, None]:
        """Yields the sentences of a reply.  It is made in another thread, since a long history takes time."""
        for sentence in await asyncio.get_running_loop().run_in_executor(self._worker, self.answer, exchange):
            yield replace(sentence, language=LANGUAGE)

    async def summarize(self, summary: str, turns: Sequence[Turn]) -> Summary:
        """Extracts the user's sentences that contain facts, people, topics or feelings."""
        run = asyncio.get_running_loop().run_in_executor
        return Summary(await run(self._worker, extract, summary, turns, self._memory_builder))

    def status(self) -> BackendStatus:
        return BackendStatus()

    async def close(self) -> None:
        self._worker.shutdown()

    def answer(self, exchange: Exchange) -> list[Sentence]:
        """Makes a reply of 1 to `reply.MAX_SENTENCES` sentences, none of which is in the history.

        If the last reply was interrupted and the user asks for the rest, the reply is that rest.

        The same exchange always has the same reply.
        """
        said = SpokenSentences.of(exchange.history)
        told_before = [Turn("user", text) for text in told_in(exchange.summary)]
        user_texts, spoken_before = _user_side([*told_before, *exchange.history, Turn("user", exchange.text)])
        memory = self._memory_builder.remember(user_texts, spoken_before)
        *earlier, utterance = memory.utterances
        memory.proper |= {name.lower() for name in _NAME.findall(exchange.text)} - CONJUNCTIONS
        values = self._session_values(memory, exchange.history, said)
        values["told"] = self._capitalise(self._told(utterance, earlier), memory)
        values["danger"] = "danger" if any(map(self._interpreter.is_crisis, earlier[-CRISIS_TURNS:])) else ""
        unheard = unheard_sentences(exchange.interruption) if is_english(exchange.language) else []
        values["unheard"] = " ".join(unheard)
        interpretation = self._interpreter.interpret(
            utterance,
            said.last,
            values,
            exchange.user_emotion,
            [found for past in earlier[: -MOOD_TURNS - 1 : -1] for found in self._finder.feelings(past.whole)],
        )
        if tone := exchange.tone:
            interpretation.tone = replace(interpretation.tone, mirror=tone.mirror, support=tone.support, ask=tone.ask)
        rule = interpretation.rule
        if rule is not None and rule.id == UNHEARD_RULE:
            return [Sentence(text, default_emotion(text, exchange.user_emotion, exchange.tone)) for text in unheard]
        values |= self._matched_values(interpretation, memory)
        turn = sum(past.role == "assistant" for past in exchange.history)
        reply = ReplyBuilder(self._script, interpretation, said, values, f"{exchange.session_id}/{user_texts[0]}", turn)
        if not is_english(exchange.language) or (rule is None and _is_foreign(exchange.text)):
            reply.follow([(("foreign",),)], "foreign")
        elif rule is None:
            reply.follow([(("unheard",),)], "unheard")
        elif values["danger"] and not rule.id.startswith(CRISIS):
            # While the user may be in danger, replies are short.
            reply.follow([shape[:1] for shape in rule.shapes], rule.id)
            reply.say(["crisis.check"])
        else:
            if not rule.id.startswith(CRISIS):
                self._open(reply, rule, utterance, earlier)
            reply.follow(rule.shapes, rule.id)
        return reply.sentences

    def _open(self, reply: ReplyBuilder, rule: Rule, utterance: Utterance, earlier: Sequence[Utterance]) -> None:
        """Begins the reply with a greeting, or with a remark that the utterance was repeated."""
        if utterance.greeted and not earlier:
            reply.say(["hello.short"])
        if rule.firm or rule.family:
            return  # a command or a question about Oviya is answered again without a remark
        times_before = sum(past.segments == utterance.segments for past in earlier)
        if times_before % 3 == 1 and len(utterance.whole.split()) >= MIN_REPEATED_WORDS:
            reply.say(["again"])

    def _told(self, utterance: Utterance, earlier: Sequence[Utterance]) -> str:
        """Mirrors the earlier segment that shares most words with this utterance; empty: none does."""
        asked = _content_words(utterance.whole)
        segments = [segment for past in earlier for segment in past.segments if not segment.startswith(_QUESTION_WORDS)]
        best = max(segments, key=lambda segment: len(asked & _content_words(segment)), default="")
        return mirrored(best) if asked & _content_words(best) else ""

    def _session_values(self, memory: Memory, history: Sequence[Turn], said: SpokenSentences) -> dict[str, str]:
        """The values of the session slots; empty: unknown."""
        sentences = sentences_of(said.last)
        facts = memory.facts[-SUMMARY_FACTS:]
        if len(facts) < SUMMARY_FACTS:
            facts = [*facts, *(f"that we spoke about {noun}" for noun in list(memory.mentioned)[-1:])]
        if memory.name:
            facts = [f"that your name is {memory.name}", *facts]
        old = [noun for noun, turn in memory.mentioned.items() if turn < len(memory.utterances) - RECALL_AFTER_TURNS]
        heard = " ".join(
            past.text.lower() for past in history[-2 * RECALL_AGAIN_AFTER_TURNS :] if past.role == "assistant"
        )
        recallable = [noun for noun in old if noun.lower() not in heard]
        return {
            "name": memory.name,
            "recall": recallable[len(memory.utterances) % len(recallable)] if recallable else "",
            "summary": self._capitalise(_listed(facts), memory),
            "lost": memory.lost,
            "last": _quotable(sentences[-1]) if sentences else "",
        }

    def _matched_values(self, interpretation: Interpretation, memory: Memory) -> dict[str, str]:
        """The values of the slots of the utterance."""
        values = {
            slot: self._capitalise(mirrored(value), memory) for slot, value in interpretation.slots.items() if value
        }
        if interpretation.rule and interpretation.rule.state:
            state = interpretation.rule.state
            if all(values.get(slot) for slot in SLOT.findall(state)):
                values["state"] = SLOT.sub(lambda slot: values[slot[1]], state)
        values["echo"] = self._capitalise(mirrored(interpretation.segment), memory)
        if interpretation.feelings:
            values["noun"] = interpretation.feelings[0].noun
        if interpretation.topics:
            values["about"] = interpretation.topics[0].about
        return values

    def _capitalise(self, words: str, memory: Memory) -> str:
        """`words` with capitals in names and days."""
        names = self._script.proper | memory.proper
        return _WORD.sub(lambda word: word[0].capitalize() if word[0] in names else word[0], words)


def mirrored(words: str) -> str:
    """Mirrors the user's words: pronouns are reflected, long texts are cut at a clause; empty: still too long."""
    if len(words.split()) > MAX_MIRROR_WORDS:
        words = _CLAUSE_STARTS.split(words, maxsplit=1)[0]
    words = _TRAILING.sub("", words)
    return reflect(words) if len(words.split()) <= MAX_MIRROR_WORDS else ""


def _user_side(turns: Sequence[Turn]) -> tuple[list[str], list[str]]:
    """The user's texts, and for each the assistant's turn before it; empty turns are skipped."""
    texts: list[str] = []
    before: list[str] = []
    last = ""
    for turn in turns:
        if turn.role == "assistant":
            last = turn.text
        elif turn.text.strip():
            texts.append(turn.text)
            before.append(last)
    return texts, before


def _content_words(text: str) -> set[str]:
    """The words of `text` that may tell what it is about."""
    return {word for word in text.split() if len(word) >= MIN_CONTENT_CHARS} - _ASKING


def _quotable(sentence: str) -> str:
    """A sentence in the form for a quotation after a colon; if it contains a quotation itself, only that."""
    words = sentence.rstrip(".?!").rpartition(": ")[2]
    return words if words.startswith(("I ", "Oviya")) else words[:1].lower() + words[1:]


def _is_foreign(text: str) -> bool:
    """Whether most letters belong to a script that English does not use."""
    letters = [letter for letter in text if letter.isalpha()]
    return bool(letters) and sum(letter < "\u0250" for letter in letters) * 2 < len(letters)


def _listed(parts: Sequence[str]) -> str:
    return ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else "".join(parts)
