"""Removes stage directions, which look like emphasis: "*smiles warmly*" is not spoken, "*Sorry* about that" is."""

from __future__ import annotations

import re

from oviya.text.tables import load_table

_TABLES = load_table("directions")


def _forms(verb: str) -> str:
    """A pattern for the forms of a verb: laugh, laughs, laughing, laughed."""
    stem, end = (verb[:-1], "e") if verb.endswith("e") else (verb, "")
    return f"{stem}(?:{end}(?:s|es)?|(?:{verb[-1]})?ing|e?d)"


_VERB = re.compile("|".join([*map(_forms, _TABLES["verbs"]), *_TABLES["irregular"]]))
_AMBIGUOUS = frozenset(f"{verb}{end}" for verb in _TABLES["ambiguous"] for end in ("", "s", "es", "ing", "ed", "d"))
_NOUNS, _ADJECTIVES, _SUBJECTS = (frozenset(_TABLES[name]) for name in ("nouns", "adjectives", "subjects"))
_WORD = re.compile(r"[A-Za-z]++(?:['\u2019][A-Za-z]++)?+")
_DIRECTION = re.compile(
    r"(?<![*\w])(\*{1,3})(?![*\s])([^*\n]++)(?<!\s)\1(?![*\w])|(?<![_\w])(_{1,2})(?![_\s])([^_\n]++)(?<!\s)\3(?![_\w])"
    r"|(\()([^()\n]{1,80})\)|(\[)([^\[\]\n]{1,80})\](?!\()"
)
MAX_WORDS = 12


def without_directions(text: str) -> str:
    """Removes stage directions; emphasis stays as it is written."""
    if not any(sign in text for sign in "*_(["):
        return text
    return _DIRECTION.sub(_replace, text)


def _replace(at: re.Match[str]) -> str:
    sign = at[1] or at[3] or at[5] or at[7]
    content = at[2] or at[4] or at[6] or at[8] or ""
    before = at.string[max(0, at.start() - 40) : at.start()].rstrip()
    after = at.string[at.end() : at.end() + 40].lstrip()
    if not _is_direction(content, sign, before, after):
        return at[0]
    return " " if before and after else ""


def _is_direction(content: str, sign: str, before: str, after: str) -> bool:  # noqa: PLR0911 (one rule a line)
    words = [word.lower() for word in _WORD.findall(content)]
    if not words or len(words) > MAX_WORDS or any(character.isdigit() for character in content):
        return False
    if content.rstrip()[-1:] in "!?":
        return False
    alone = (not before or before[-1] in ".!?\u2026,;:\u2014*)]\"'\u201d") and (
        not after or not (after[0].islower() or after[0] in ",'\u2019")
    )
    action = _action(words)
    if sign in "([":
        return bool(action) and (sign == "[" or action == "sure" or (alone and len(words) <= 4))
    last = _WORD.findall(before)[-1:]
    if action and last and last[0].lower() in _SUBJECTS and before[-1:].isalpha():
        return False  # "she *smiles* a lot", "don't *laugh* at me"
    if action == "sure":
        return True
    if not alone:
        return False
    # Emphasis at the start of a sentence begins with a capital letter.
    starts_small = content.lstrip()[:1].islower()
    return bool(action) or (starts_small and len(words) > 1 and sign in ("*", "_"))


def _action(words: list[str]) -> str:  # noqa: PLR0911
    """Whether words are an action: "sure", "perhaps", or empty."""
    head = words[1:] if len(words) > 1 and words[0].endswith("ly") else words
    first = head[0]
    if _VERB.fullmatch(first):
        if first in _AMBIGUOUS:
            return "perhaps"
        bare = not first.endswith(("s", "ing"))
        if bare and len(head) > 1:
            return ""
        return "perhaps" if bare else "sure"
    if words[0] in _ADJECTIVES and words[-1] in _NOUNS:
        return "sure" if len(words) > 1 and words[-1] not in ("tone", "voice", "beat", "music") else "perhaps"
    if words[-1] in _NOUNS and len(words) <= 3:
        return "perhaps"
    if words[0] == "voice":
        return "perhaps"
    return ""
