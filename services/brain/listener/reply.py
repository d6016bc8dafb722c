"""Builds a reply: chooses sentences that were not spoken yet, and their emotions."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice

from services.brain.backend import Sentence
from services.brain.listener.composer import compose
from services.brain.listener.interpreter import Interpretation
from services.brain.listener.memory import SpokenSentences, opening
from services.brain.listener.script import Pool, Script, Shape

MAX_SENTENCES = 3
"""Longest reply in sentences."""

COMPOSED_CHOICE = 12
"""Composed sentences that are searched for a new opening."""

CRISIS = "crisis"

_SUPPORTING = ("comfort", "offer", "advice", "general", "stay")
"""Suffixes of the names of pools whose sentences support."""


class ReplyBuilder:
    """Builds one reply.

    Args:
        script: the listener's data.
        interpretation: what the user said.
        said: the sentences that the listener has spoken.
        values: values of the slots.
        seed: identifies the session, so that choices are deterministic and differ between sessions.
        turn: index of the listener's turn in the session; each turn advances all choices by one.
    """

    def __init__(
        self,
        script: Script,
        interpretation: Interpretation,
        said: SpokenSentences,
        values: Mapping[str, str],
        seed: str,
        turn: int,
    ) -> None:
        self._script = script
        self._interpretation = interpretation
        self._said = said
        self._values = values
        self._seed = seed
        self._turn = turn
        self._has_composed = False
        self.sentences: list[Sentence] = []

    def say(self, choice: Sequence[str]) -> bool:
        """Adds an unused sentence of the first pool in `choice` that has one; returns whether there was one."""
        for name in choice:
            for pool_name in self._pools(name):
                sentences = self._unsaid(pool_name)
                if sentences and len(self.sentences) + len(sentences) <= MAX_SENTENCES:
                    self._add(sentences, pool_name)
                    return True
        return False

    def follow(self, shapes: Sequence[Shape], rule_id: str) -> None:
        """Adds the sentences of one of the shapes.  The first one is composed if need be; others may be missing."""
        head, *rest = shapes[(self._number(rule_id) + self._turn) % len(shapes)]
        family = self._interpretation.rule.family if self._interpretation.rule else ""
        general = () if family else ("feeling.mirror", f"mirror.{self._interpretation.mood}")
        if not self.say(head) and not self.say(general):
            self._compose(family or self._interpretation.mood)
        for choice in rest:
            # In a crisis, the advice to get help is composed once its sentences are used up.
            if not self.say(choice) and family == CRISIS and not self._has_composed:
                self._compose(family)

    def _compose(self, family: str) -> None:
        self._has_composed = True
        candidates = compose(self._script.frames[family], self._turn, self._number(family))
        unsaid = islice((text for text in candidates if not self._said.has(text)), COMPOSED_CHOICE)
        self._add((self._freshest([(text,) for text in unsaid])[0],), f"{family}.comfort")

    def _pools(self, name: str) -> Iterator[str]:
        """The names of the pools that `name` refers to in this turn."""
        kind, _, part = name.partition(".")
        if name in self._script.pools:
            yield name
        elif part == "mood":
            yield f"{kind}.{self._interpretation.mood}"
        elif kind == "feeling":
            # "sad and lonely": one sentence is about the sadness and the next about the loneliness.
            feelings = deque(self._interpretation.feelings)
            feelings.rotate(-len(self.sentences))
            yield from (f"feeling.{feeling.id}.{part}" for feeling in feelings)
        elif kind == "topic":
            yield from (f"topic.{topic.id}.{part}" for topic in self._interpretation.topics)

    def _unsaid(self, pool_name: str) -> tuple[str, ...]:
        """The sentences of the next unused template of a pool, preferably with a new opening."""
        return self._freshest(list(self._candidates(self._script.pools[pool_name], pool_name)))

    def _freshest(self, candidates: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
        fresh = (found for found in candidates if opening(found[0]) not in self._said.recent_openings)
        return next(chain(fresh, candidates), ())

    def _candidates(self, pool: Pool, pool_name: str) -> Iterable[tuple[str, ...]]:
        start = self._number(pool_name) + self._turn
        for index in range(len(pool)):
            filled = pool[(start + index) % len(pool)].fill(self._values)
            if filled is None:
                continue
            sentences = tuple(sentence[0].upper() + sentence[1:] for sentence in filled)
            if not any(self._said.has(sentence) for sentence in sentences):
                yield sentences

    def _tone(self, pool_name: str, sentence: str) -> str:
        rule, tone = self._interpretation.rule, self._interpretation.tone
        if rule and rule.tone and (rule.firm or not self._interpretation.is_known) and pool_name == f"rule.{rule.id}":
            return rule.tone
        if sentence.endswith("?"):
            return tone.ask
        return tone.support if pool_name.endswith(_SUPPORTING) else tone.mirror

    def _add(self, sentences: Iterable[str], pool_name: str) -> None:
        for sentence in sentences:
            self._said.add(sentence)
            self.sentences.append(Sentence(sentence, self._tone(pool_name, sentence)))

    def _number(self, name: str) -> int:
        return int.from_bytes(hashlib.blake2b(f"{self._seed}/{name}".encode(), digest_size=4).digest())
