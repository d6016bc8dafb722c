"""Whether a sentence could come from the templates: each template as a regular expression."""

import re
from functools import cache

from .grammar import Grammar, Slot, Template, load
from .inflect import inflect
from .quantities import MONTHS, QUANTITIES, ordinal, spell

# Numbers, times and dates have many forms; any few of their words count as one, which errs on the strict side.
_NUMBER_WORDS = {*(spell(n) for n in (*range(21), *range(30, 100, 10))), *(ordinal(n) for n in range(1, 32))}
_NUMBER_WORDS |= {month.lower() for month in MONTHS}
_NUMBER_WORDS |= {"hundred", "thousand", "and", "oh", "o'clock", "half", "quarter", "past", "to", "the", "of"}
_NUMBER_WORDS |= {"dollars", "euros", "pounds", "cents"}
_NUMBER = rf"(?:\d[\d:]*|(?:{'|'.join(sorted(_NUMBER_WORDS))})(?:-[a-z]+)?)"
_QUANTITY = rf"{_NUMBER}(?:,? {_NUMBER}){{0,9}}"
_ANYTHING = r".+"


def _pattern(grammar: Grammar, template: Template, exact: bool) -> str:
    pieces: list[str] = []
    for piece in template.pieces:
        if isinstance(piece, Slot):
            pieces.append(_slot(grammar, piece) if exact else _outline(grammar, piece))
        else:
            pieces.append(re.sub(r"\\?\ba\b", "an?", re.escape(piece.lower())))
    return "".join(pieces)


def _outline(grammar: Grammar, slot: Slot) -> str:
    """Returns a loose pattern of a slot: as many words as the longest entry of its lists has."""
    if slot.name not in grammar.groups:
        return _QUANTITY if slot.name in QUANTITIES else _ANYTHING
    # A comparison may put "more" or "most" before the entry.
    longest = 1 + max(entry.count(" ") for name in grammar.groups[slot.name] for entry in grammar.lists[name])
    return rf"[\w'-]+(?: [\w'-]+){{0,{longest}}}"


def _slot(grammar: Grammar, slot: Slot) -> str:
    if slot.name in grammar.parts:
        return f"(?:{'|'.join(_pattern(grammar, part, exact=True) for part in grammar.parts[slot.name])})"
    if slot.name not in grammar.groups:
        return _QUANTITY
    return _words(slot.name, slot.form)


@cache
def _words(group: str, form: str) -> str:
    grammar = load()
    words = {inflect(word, form).lower() for name in grammar.groups[group] for word in grammar.lists[name]}
    return f"(?:{'|'.join(re.escape(word) for word in sorted(words))})"


@cache
def _outlines() -> tuple[tuple[re.Pattern[str], Template], ...]:
    grammar = load()
    templates = (template for group in grammar.templates.values() for template in group)
    return tuple((re.compile(_pattern(grammar, template, exact=False)), template) for template in templates)


@cache
def _exact(template: Template) -> re.Pattern[str]:
    return re.compile(_pattern(load(), template, exact=True))


def templates_of(sentence: str) -> list[Template]:
    """The templates that a sentence may be an instance of, with words of the lists in all its slots."""
    lower = sentence.lower()
    # Most templates are ruled out by their literal text; the expression with all words is made for the rest only.
    likely = (template for outline, template in _outlines() if outline.fullmatch(lower))
    return [template for template in likely if _exact(template).fullmatch(lower)]
