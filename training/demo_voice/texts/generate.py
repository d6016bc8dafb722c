"""Generates training sentences: fills templates so that every word of the lists occurs often enough.

`python -m training.demo_voice.texts.generate --count 20 --seed 1` prints some; `--statistics` counts words and lengths.
"""

import argparse
import re
from collections import Counter
from random import Random

from . import grammar as data
from .grammar import Grammar, Slot, Template
from .inflect import fix_articles, inflect
from .quantities import QUANTITIES

MAX_CHARACTERS = 109
PHRASE_SHARE = 0.08
SHORT_SHARE = 0.095
LONG_SHARE = 0.03
DIRECTED_SHARE = 0.92
"""Share of the other sentences that are chosen for the list whose words are rarest so far."""
FORM_WEIGHT = {"": 1.0, "s": 0.1, "er": 0.1, "est": 0.1, "does": 0.15, "ing": 0.15, "past": 0.15, "done": 0.15}
"""Target frequency of each inflected form, relative to the word as listed."""
RARE_WORDS = 300
"""Number of the rarest words that phrases use before the rarest words are determined again."""
WORD = re.compile(r"[a-z0-9']+(?:-[a-z0-9']+)*", re.IGNORECASE)
_SENTENCE_START = re.compile(r"(^[\"']?|[.?!][\"']? [\"']?)([a-z])")

_PARTICLE = re.compile(r"\b(up|down|off|out|away|apart|over) (it|me|him|you|us|them|her(?=[,.?!]))(?![\w'-])")

Deck = tuple[str, str]
"""The name of a list and a form of its words."""


class Writer:
    """Fills templates, drawing the words of each list and form in turn (shuffled) instead of at random."""

    def __init__(self, grammar: Grammar, rng: Random) -> None:
        self._grammar = grammar
        self._rng = rng
        self._short = list(grammar.templates["short"])
        self._long = list(grammar.templates["long"])
        others = (group for file, group in grammar.templates.items() if file not in {"short", "long"})
        self._other = [template for group in others for template in group]
        self._slots: dict[Template, list[list[Deck]]] = {}
        for template in [*self._other, *self._long]:
            slots = (slot for slot in template.slots if slot.name in grammar.groups)
            self._slots[template] = [[(name, slot.form) for name in grammar.groups[slot.name]] for slot in slots]
        self._users: dict[Deck, list[Template]] = {}
        for template, slots in self._slots.items():
            for deck in dict.fromkeys(deck for decks in slots for deck in decks):
                self._users.setdefault(deck, []).append(template)
        homes: dict[str, list[str]] = {}
        for name, words in grammar.lists.items():
            for word in words:
                homes.setdefault(word, []).append(name)
        self._turns = {(name, word): (i, len(names)) for word, names in homes.items() for i, name in enumerate(names)}
        self._words = {word: [part.lower() for part in WORD.findall(word)] for word in homes}
        size = {name: sum(1 / len(homes[word]) for word in words) for name, words in grammar.lists.items()}
        self._decks = list(dict.fromkeys([*((name, "") for name in grammar.lists), *self._users]))
        self._step = {deck: 1 / (FORM_WEIGHT[deck[1]] * size[deck[0]]) for deck in self._decks}
        # How often each word of a deck was drawn so far, relative to its target.
        self._drawn = dict.fromkeys(self._decks, 0.0)
        self._waiting: dict[Deck, list[str]] = {}
        self._rounds: Counter[Deck] = Counter()
        self._heard: Counter[str] = Counter()
        self._rare: list[str] = []

    def hear(self, sentence: str) -> None:
        """Counts the words of a sentence that was kept."""
        self._heard.update(word.lower() for word in WORD.findall(sentence))

    def sentence(self) -> str:
        kind = self._rng.random()
        if kind < PHRASE_SHARE:
            return _finish(self._phrase())
        kind -= PHRASE_SHARE
        if kind < SHORT_SHARE:
            return self._write(self._rng.choice(self._short))
        if kind < SHORT_SHARE + LONG_SHARE:
            return self._write(self._rng.choice(self._long))
        if self._rng.random() > DIRECTED_SHARE:
            return self._write(self._rng.choice(self._other))
        deck = min(self._users, key=self._drawn.__getitem__)
        # Of a few templates, the one with the most slots for words that are too rare so far.
        behind = self._drawn[deck] + 0.5
        few = self._rng.choices(self._users[deck], k=6)
        return self._write(max(few, key=lambda one: self._wanted(one, behind)), deck)

    def _wanted(self, template: Template, behind: float) -> int:
        """Counts the slots of a template that can take a word that occurred less than `behind` times."""
        return sum(any(self._drawn[deck] < behind for deck in decks) for decks in self._slots[template])

    def _write(self, template: Template, target: Deck | None = None) -> str:
        return _finish(self._fill(template, target, set()))

    def _fill(self, template: Template, target: Deck | None, used: set[str]) -> str:
        text = ""
        for piece in template.pieces:
            if isinstance(piece, str):
                text += piece
            elif piece.name in self._grammar.parts:
                text += self._fill(self._rng.choice(self._grammar.parts[piece.name]), None, used)
            elif piece.name in QUANTITIES:
                text += QUANTITIES[piece.name](self._rng)
            else:
                text += self._draw(self._deck(piece, target), used)
        return text

    def _deck(self, slot: Slot, target: Deck | None) -> Deck:
        names = self._grammar.groups[slot.name]
        if target and target[1] == slot.form and target[0] in names:
            return target
        # The rarest of a few: balanced, but not so strictly that neighbours always come from one list.
        few = self._rng.choices(names, k=3) if len(names) > 1 else names
        return min([(name, slot.form) for name in few], key=lambda deck: self._drawn.setdefault(deck, 0.0))

    def _draw(self, deck: Deck, used: set[str]) -> str:
        words = self._waiting.setdefault(deck, [])
        if not words:
            words += self._shuffled(deck)
        index = next((i for i in range(len(words) - 1, -1, -1) if words[i] not in used), len(words) - 1)
        word = words.pop(index)
        used.add(word)
        self._drawn[deck] += self._step.get(deck, 0.0)
        return inflect(word, deck[1])

    def _shuffled(self, deck: Deck) -> list[str]:
        """The next round of a deck; a word of several lists takes part in one of them at a time."""
        turn = self._rounds[deck]
        self._rounds[deck] += 1
        words = self._grammar.lists[deck[0]]
        mine = [word for word in words if turn % self._turns[deck[0], word][1] == self._turns[deck[0], word][0]]
        return self._rng.sample(mine or words, len(mine or words))

    def _phrase(self) -> str:
        """Returns a few unrelated words, mostly the rarest so far."""
        words: dict[str, None] = {}
        for _ in range(self._rng.choice((1, 2, 3, 3, 4, 4, 5, 6))):
            if not self._rare:
                self._rare = self._rarest()
            rare = self._rng.random() < 0.8
            words[self._rare.pop() if rare else self._draw(self._rng.choice(self._decks), set())] = None
        return ", ".join(words) + self._rng.choice((".", ".", ".", "?", "!"))

    def _rarest(self) -> list[str]:
        entries = self._rng.sample([*self._words], len(self._words))
        return sorted(entries, key=lambda entry: min(self._heard[word] for word in self._words[entry]))[:RARE_WORDS]


def _finish(text: str) -> str:
    """Corrects articles, capital letters, and pronouns with phrasal verbs (pick it up)."""
    text = _PARTICLE.sub(r"\2 \1", fix_articles(text))
    return _SENTENCE_START.sub(lambda match: match.group(1) + match.group(2).upper(), text)


def sentences(count: int, seed: int) -> list[str]:
    """Returns distinct sentences, reproducible by the seed.

    Raises:
        RuntimeError: the templates cannot produce so many.
    """
    writer = Writer(data.load(), Random(seed))
    # A dictionary keeps the order of insertion, so this is an ordered set.
    made: dict[str, None] = {}
    forbidden = set(data.held_out())
    for _ in range(5 * count + 1000):
        if len(made) >= count:
            return list(made)
        sentence = writer.sentence()
        if len(sentence) <= MAX_CHARACTERS and sentence not in forbidden:
            if sentence not in made:
                writer.hear(sentence)
            made[sentence] = None
    raise RuntimeError(f"the templates made only {len(made)} different sentences of the {count} wanted")


def coverage(made: list[str]) -> Counter[str]:
    """Counts each word of the sentences, in lower case."""
    return Counter(word.lower() for sentence in made for word in WORD.findall(sentence))


def listed_words() -> set[str]:
    """Every word of the lists in lower case; an entry of several words counts as each of them."""
    return {word.lower() for words in data.load().lists.values() for entry in words for word in WORD.findall(entry)}


def statistics(made: list[str]) -> str:
    """Counts of words and a histogram of sentence lengths, as text."""
    counts, listed = coverage(made), listed_words()
    lengths = Counter(min(len(sentence.split()), 24) for sentence in made)
    total = sum(counts.values())
    rarest = sorted(listed, key=lambda word: counts[word])[:12]
    lines = [
        f"sentences {len(made)}, words {total}, {total / len(made):.2f} a sentence, "
        f"longest {max(map(len, made))} characters",
        f"different words {len(counts)}; listed {len(listed)}; "
        f"listed and heard fewer than 15 times: {sum(counts[word] < 15 for word in listed)}",
        "rarest: " + ", ".join(f"{word} {counts[word]}" for word in rarest),
        f"one to three words: {sum(n for length, n in lengths.items() if length <= 3) / len(made):.1%}",
    ]
    widest = max(lengths.values())
    lines += [f"{length:3d} {n:6d} {'#' * (50 * n // widest)}" for length, n in sorted(lengths.items())]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Print sentences for the demo voice's training.")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--statistics", action="store_true", help="print counts instead of the sentences")
    arguments = parser.parse_args()
    made = sentences(arguments.count, arguments.seed)
    print(statistics(made) if arguments.statistics else "\n".join(made))


if __name__ == "__main__":
    main()
