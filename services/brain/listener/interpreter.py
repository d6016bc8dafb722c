"""Interprets an utterance: finds the rule that answers it, feelings, topics, mood and tone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from oviya.emotions.tables import NEUTRAL, TonePolicy
from services.brain.listener.memory import Finder
from services.brain.listener.phrases import Phrases
from services.brain.listener.script import WEIGHTS, Feeling, Rule, Script, Topic
from services.brain.listener.utterance import Utterance, sentence_key, sentences_of

STATEMENT = WEIGHTS.index("statement")
MIN_STATEMENT_PRIORITY = 40
"""Priority from which a rule for statements takes precedence over a courtesy."""


@dataclass(slots=True)
class Interpretation:
    """One utterance, interpretation.

    Attributes:
        rule: the rule that answers; None: the utterance has no words.
        segment: the part of the utterance that the rule matched.
        slots: the captures of its pattern, not yet reflected.
        feelings: feelings in the words, in their order.
        topics: topics in the words.
        tone: how to answer the user's feeling.
        mood: "heavy", "light" or "plain".
        is_known: the user's feeling is known, from the words or from the request.
    """

    rule: Rule | None
    segment: str
    slots: Mapping[str, str]
    feelings: list[Feeling]
    topics: list[Topic]
    tone: TonePolicy
    mood: str
    is_known: bool


@dataclass(slots=True)
class _Match:
    rule: Rule
    segment: str
    slots: Mapping[str, str]


class Interpreter:
    """Interprets utterances by a script."""

    def __init__(self, script: Script, finder: Finder) -> None:
        self._script = script
        self._finder = finder
        used = {name for rule in script.rules for name in (*rule.contains.values(), *rule.lacks.values())}
        self._sets = {name: Phrases.of(script.sets[name]) for name in used}

    def interpret(
        self,
        utterance: Utterance,
        last: str,
        session: Mapping[str, str],
        user_emotion: str,
        mood_before: Sequence[Feeling],
    ) -> Interpretation:
        """Interprets one utterance.

        Args:
            utterance: what was said.
            last: the listener's last turn.
            session: values of the session slots; rules that need an empty one are skipped.
            user_emotion: one of the 49, or empty.
            mood_before: feelings of the user's last turns, for an utterance without a feeling.
        """
        feelings = list(
            dict.fromkeys(found for segment in utterance.segments for found in self._finder.feelings(segment))
        )
        lost = session.get("lost", "")
        if lost:  # missing somebody who died is grief
            feelings = list(dict.fromkeys(self._script.feelings[found.after_loss or found.id] for found in feelings))
        match = self._best(utterance, last, session)
        if match and match.rule.feeling:
            own = self._script.feelings[match.rule.feeling]
            feelings = [own, *(feeling for feeling in feelings if feeling is not own)]
        emotion, mood, is_known = self._mood(feelings, user_emotion, mood_before)
        return Interpretation(
            rule=match.rule if match else None,
            segment=match.segment if match else "",
            slots=match.slots if match else {},
            feelings=feelings,
            topics=[topic for topic in self._finder.topics(utterance.whole) if f"my {lost}" not in topic.words],
            tone=self._script.tones[emotion],
            mood=mood,
            is_known=is_known,
        )

    def is_crisis(self, utterance: Utterance) -> bool:
        match = self._best(utterance, "", {})
        return match is not None and match.rule.family == "crisis"

    def _mood(self, feelings: list[Feeling], user_emotion: str, before: Sequence[Feeling]) -> tuple[str, str, bool]:
        """The user's emotion, the mood of the answer, and whether the emotion is known."""
        if user_emotion and user_emotion != NEUTRAL:
            # The words decide what is said, the detected emotion decides how.
            return user_emotion, feelings[0].mood if feelings else self._script.tones[user_emotion].mood, True
        if feelings:
            return feelings[0].emotion, feelings[0].mood, True
        if before:
            return before[0].emotion, before[0].mood, False
        return NEUTRAL, "plain", False

    def _best(self, utterance: Utterance, last: str, session: Mapping[str, str]) -> _Match | None:
        best: _Match | None = None
        sentences = sentences_of(last)
        last_sentence = sentence_key(sentences[-1]) if sentences else ""
        for segment in utterance.segments:
            match = self._match(segment, last_sentence, session)
            # Of equals, the later one: people come to the point at the end.
            if match and (best is None or match.rule.priority >= best.rule.priority):
                best = match
        return best and self._weightiest(best, utterance, last_sentence, session)

    def _weightiest(self, best: _Match, utterance: Utterance, last_sentence: str, session: Mapping[str, str]) -> _Match:
        """The match with the greatest weight among all clauses and segments, `best` by default.

        "My name is Tom and I just lost my job" matches the rule that greets Tom, but the loss should be answered.
        """
        matches = [best]
        if len(utterance.segments) > 1:
            matches += filter(None, (self._match(part, last_sentence, session) for part in utterance.segments))
        # Only a whole segment can answer the listener's question; clauses are matched without it.
        matches += filter(None, (self._match(part, "", session) for parts in utterance.clauses for part in parts))
        weightier = [match for match in matches if _outweighs(match.rule, best.rule)]
        return max(reversed(weightier), key=lambda match: (match.rule.weight, match.rule.priority), default=best)

    def _match(self, segment: str, last: str, session: Mapping[str, str]) -> _Match | None:
        words = frozenset(segment.split())
        for rule in self._script.rules:  # highest priority first
            if not all(session.get(slot) for slot in rule.needs) or (rule.after and not _comes_after(rule, last)):
                continue
            for pattern in rule.patterns:
                slots = pattern.match(segment, words)
                if slots is not None and self._fits(rule, slots, session):
                    return _Match(rule, segment, slots)
        return None

    def _fits(self, rule: Rule, slots: Mapping[str, str], session: Mapping[str, str]) -> bool:
        if any(slots.get(slot) != session.get(value) for slot, value in rule.same.items()):
            return False
        if any(not self._sets[name].are_in(slots.get(slot) or "") for slot, name in rule.contains.items()):
            return False
        return not any(self._sets[name].are_in(slots.get(slot) or "") for slot, name in rule.lacks.items())


def _outweighs(rule: Rule, other: Rule) -> bool:
    """Whether `rule` takes precedence over `other`."""
    # Broad rules ("i am ...", "it is ...") are not specific enough to replace an answer.
    return rule.weight > other.weight and (rule.weight > STATEMENT or rule.priority >= MIN_STATEMENT_PRIORITY)


def _comes_after(rule: Rule, sentence: str) -> bool:
    words = frozenset(sentence.split())
    return any(pattern.match(sentence, words) is not None for pattern in rule.after)
