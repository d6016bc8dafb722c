"""What the user has told and the listener has said so far, derived from the history of each request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.brain.backend import Turn
from services.brain.listener.phrases import Phrases
from services.brain.listener.reflect import reflect
from services.brain.listener.script import SLOT, Feeling, Script, Topic
from services.brain.listener.utterance import Utterance, UtteranceParser, sentence_key, sentences_of

MIN_CUT_WORDS = 3
"""Words from which a sentence that was cut off counts as spoken."""

RECENT_TURNS = 3
"""Turns of the listener in which an opening is not used again if there is another one."""

_NEGATORS = frozenset({"not", "never", "no", "hardly", "nothing", "without", "less", "stop", "stopped"})
NEGATION_REACH = 3
"""Words before a feeling in which a negator applies to it."""

MAX_FACT_WORDS = 6

MAX_EARLIER_CHARS = 1000
"""Characters of an earlier turn that are parsed again, about a minute of speech; they bound the time for a history."""

_CLAUSE_STARTS = re.compile(r" (?:and|but|because|so|since|when|which|who|by the way|now) ")


@dataclass(slots=True)
class SpokenSentences:
    """The sentences that the listener has spoken."""

    keys: set[str] = field(default_factory=set)
    cuts: list[str] = field(default_factory=list)
    recent_openings: set[str] = field(default_factory=set)
    last: str = ""

    @classmethod
    def of(cls, history: Sequence[Turn]) -> SpokenSentences:
        said = cls()
        spoken = [turn for turn in history if turn.role == "assistant" and turn.text.strip()]
        for number, turn in enumerate(spoken):
            sentences = sentences_of(turn.text)
            for sentence in sentences:
                said.keys.add(sentence_key(sentence))
                if number >= len(spoken) - RECENT_TURNS:
                    said.recent_openings.add(opening(sentence))
            cut = sentence_key(sentences[-1])
            if sentences[-1][-1] not in ".?!" and len(cut.split()) >= MIN_CUT_WORDS:
                said.cuts.append(cut)  # interrupted: the whole sentence would repeat its beginning
        if spoken:
            said.last = spoken[-1].text
        return said

    def has(self, sentence: str) -> bool:
        """Whether `sentence` would be a repetition."""
        key = sentence_key(sentence)
        return key in self.keys or any(key.startswith(cut) for cut in self.cuts)

    def add(self, sentence: str) -> None:
        self.keys.add(sentence_key(sentence))
        self.recent_openings.add(opening(sentence))


def opening(sentence: str) -> str:
    """The first two words: replies with the same ones sound alike."""
    return " ".join(sentence_key(sentence).split()[:2])


class Finder:
    """Finds feelings and topics in normalised text."""

    def __init__(self, script: Script) -> None:
        self._feelings = script.feelings
        self._feeling_words = Phrases({word: found for found in script.feelings.values() for word in found.words})
        self._topic_words = Phrases({word: topic for topic in script.topics for word in topic.words})

    def feelings(self, text: str) -> list[Feeling]:
        """Feelings in the order of the text, without duplicates; a negated one is replaced by its opposite.

        If a feeling follows the last "but", only the text after it counts.
        """
        _, but, after = text.rpartition(" but ")
        return (self._feelings_in(after) if but else []) or self._feelings_in(text)

    def _feelings_in(self, text: str) -> list[Feeling]:
        words = text.split()
        feelings: dict[str, Feeling] = {}
        for found in self._feeling_words.find(text):
            feeling = found.value
            # "I can't stop crying" is a double negation.
            before = words[max(0, found.start - NEGATION_REACH) : found.start]
            if sum(map(_is_negator, before)) % 2:
                if not feeling.negated:
                    continue
                feeling = self._feelings[feeling.negated]
            feelings[feeling.id] = feeling
        return list(feelings.values())

    def topics(self, text: str) -> list[Topic]:
        """Topics in the order of the text, without duplicates."""
        return list(dict.fromkeys(found.value for found in self._topic_words.find(text)))


def _is_negator(word: str) -> bool:
    return word in _NEGATORS or word.endswith("n't")


@dataclass(slots=True)
class Memory:
    """What the user has told.

    Attributes:
        name: the user's first name, capitalized; empty: unknown.
        facts: facts about the user, as parts of a sentence ("that you like painting"), oldest first.
        mentioned: what can be recalled, as nouns ("your sister"), with the index of the user's turn.
        lost: who died, as a relation ("mother"); empty: unknown.
        proper: names, which are capitalized.
        utterances: the user's parsed turns.
    """

    name: str = ""
    facts: list[str] = field(default_factory=list)
    mentioned: dict[str, int] = field(default_factory=dict)
    lost: str = ""
    proper: set[str] = field(default_factory=set)
    utterances: list[Utterance] = field(default_factory=list)


class MemoryBuilder:
    """Builds the memory of a session."""

    def __init__(self, script: Script, parser: UtteranceParser, finder: Finder) -> None:
        self._script = script
        self._parser = parser
        self._finder = finder

    def remember(self, user_texts: Sequence[str], spoken_before: Sequence[str]) -> Memory:
        """Parses the user's turns in order; `spoken_before[i]` is the listener's turn before turn i."""
        memory = Memory()
        for number, (text, before) in enumerate(zip(user_texts, spoken_before, strict=True)):
            utterance = self._parser.read(text if number == len(user_texts) - 1 else text[:MAX_EARLIER_CHARS])
            memory.utterances.append(utterance)
            for at, segment in enumerate(utterance.segments):
                self._facts(segment, before, memory)
                for clause in utterance.clauses[at]:
                    self._facts(clause, "", memory)
                for topic in self._finder.topics(segment):
                    memory.mentioned[topic.about] = number
                for found in self._finder.feelings(segment):
                    if found.noun:
                        memory.mentioned[found.noun] = number
        return memory

    def tells(self, text: str) -> bool:
        """Whether a sentence of the user contains something to remember."""
        memory = self.remember([text], [""])
        return bool(memory.name or memory.facts or memory.mentioned or memory.lost)

    def _facts(self, segment: str, before: str, memory: Memory) -> None:
        words = frozenset(segment.split())
        for fact in self._script.facts:
            for pattern in fact.patterns:
                slots = pattern.match(segment, words)
                if slots:
                    told = _CLAUSE_STARTS.split(slots["x"], maxsplit=1)[0]
                    if len(told.split()) <= MAX_FACT_WORDS:
                        self._learn(fact.kind, fact.form, {**slots, "x": told}, memory)
                    break
        # "what is your name" - "anna": the question shows that the answer is a name.
        if sentence_key(before).endswith(("your name", "call you")) and 1 <= len(words) <= 2:
            self._learn("name", "", {"x": segment}, memory)

    def _learn(self, kind: str, form: str, slots: dict[str, str], memory: Memory) -> None:
        if kind == "name":
            name = slots["x"].split()[0]
            if name.isalpha() and name not in self._script.sets["nameless"] and not self._finder.feelings(name):
                memory.name = name.capitalize()
                memory.proper.add(name)
            return
        if slots["x"] in self._script.sets["vague"]:
            return
        if kind in ("named", "called"):
            memory.proper.add(slots["x"])
        if kind == "lost":
            memory.lost = slots["x"]
        if not form:
            return
        fact = SLOT.sub(lambda slot: reflect(slots.get(slot[1], "")), form)
        if fact not in memory.facts:
            memory.facts.append(fact)
