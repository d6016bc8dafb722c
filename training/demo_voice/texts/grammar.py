"""The word lists and sentence templates as data: the slots and the words that may fill them.

A template is a line of text with slots: `{animal}` is a word of `words/animal.txt`, `{animal.s}` the same inflected
(see `inflect.FORMS`), `{object}` a word of any list of the group `object` (`words/groups.toml`), `{because}` a line of
`templates/parts/because.txt`, and `{time}` a figure of speech that `quantities.py` makes.
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .inflect import FORMS
from .quantities import QUANTITIES

HERE = Path(__file__).parent
_SLOT = re.compile(r"\{([a-z_]+)(?:\.([a-z]+))?\}")


@dataclass(frozen=True)
class Slot:
    name: str
    form: str = ""


@dataclass(frozen=True, eq=False)
class Template:
    pieces: tuple[str | Slot, ...]
    """The line, cut into literal text and slots."""

    @property
    def slots(self) -> tuple[Slot, ...]:
        return tuple(piece for piece in self.pieces if isinstance(piece, Slot))


@dataclass(frozen=True)
class Grammar:
    lists: dict[str, tuple[str, ...]]
    """The words of each list, by the list's name."""
    groups: dict[str, tuple[str, ...]]
    """The names of a group's lists; every list is also a group of its own."""
    parts: dict[str, tuple[Template, ...]]
    """The templates of each part of a sentence."""
    templates: dict[str, tuple[Template, ...]]
    """The sentence templates of each file, by the file's name."""

    def check(self) -> None:
        """Raises ValueError if a template names a slot or a form that does not exist."""
        everything = [*self.parts.items(), *self.templates.items()]
        for file, templates in everything:
            for template in templates:
                for slot in template.slots:
                    known = slot.name in self.groups or slot.name in self.parts or slot.name in QUANTITIES
                    if not known or slot.form not in FORMS:
                        raise ValueError(f"templates: {file}.txt uses {slot}, which no list, group or part provides")


def parse(line: str) -> Template:
    pieces: list[str | Slot] = []
    end = 0
    for match in _SLOT.finditer(line):
        pieces += [line[end : match.start()], Slot(match.group(1), match.group(2) or "")]
        end = match.end()
    return Template(tuple(piece for piece in [*pieces, line[end:]] if piece != ""))


def _lines(file: Path) -> list[str]:
    lines = file.read_text(encoding="ascii").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


@cache
def load() -> Grammar:
    """The grammar of this package's files."""
    lists = {file.stem: tuple(_lines(file)) for file in sorted((HERE / "words").glob("*.txt"))}
    groups = {name: (name,) for name in lists}
    for name, members in tomllib.loads((HERE / "words" / "groups.toml").read_text(encoding="ascii")).items():
        groups[name] = tuple(members)

    def templates(folder: Path) -> dict[str, tuple[Template, ...]]:
        return {file.stem: tuple(parse(line) for line in _lines(file)) for file in sorted(folder.glob("*.txt"))}

    grammar = Grammar(lists, groups, templates(HERE / "templates" / "parts"), templates(HERE / "templates"))
    grammar.check()
    return grammar


@cache
def held_out() -> tuple[str, ...]:
    """Returns the evaluation sentences, which no training text contains."""
    return tuple(_lines(HERE / "held_out.txt"))
