"""Languages, and the one in which a text is read aloud."""

from __future__ import annotations

import re
from dataclasses import dataclass

from oviya.text.scripts import LATIN, main_script
from oviya.text.tables import load_table

_TABLES = load_table("languages")
_NAMES: dict[str, str] = _TABLES["names"]
_VOICES: dict[str, list[str]] = _TABLES["voices"]
_ALL_VOICES = frozenset(tag for tags in _VOICES.values() for tag in tags)
_ESPEAK: dict[str, str] = _TABLES["espeak"]
_TAG = re.compile(r"[a-zA-Z]{2,3}(?:-[a-zA-Z0-9]{1,8})*")
MAX_TAG_CHARS = 35
"""RFC 5646 recommends room for tags of this length."""
_UKRAINIAN, _PERSIAN, _URDU = (
    frozenset("\u0456\u0457\u0454\u0491"),
    frozenset("\u067e\u0686\u0698\u06af"),
    frozenset("\u0679\u0688\u0691\u06ba\u06d2"),
)


@dataclass(frozen=True, slots=True)
class Language:
    """A language that espeak-ng reads: its code (BCP 47, which is also the name of the voice) and its English name."""

    code: str
    name: str


def is_tag(tag: str) -> bool:
    """Whether `tag` has the form of a BCP 47 tag of a language."""
    return len(tag) <= MAX_TAG_CHARS and _TAG.fullmatch(tag) is not None


def primary(tag: str) -> str:
    """The language of a BCP 47 tag without script and region: "pt" of "pt-BR"."""
    return tag.split("-", 1)[0].lower()


def is_english(tag: str) -> bool:
    """Whether `tag` names English, or no language: what is not known is taken for English."""
    return primary(tag) in ("en", "")


def name_of(tag: str) -> str:
    """The English name of a language; the tag itself if it has none here."""
    return _NAMES.get(primary(tag), tag)


def language_of(text: str, tag: str = "") -> Language | None:
    """The language in which espeak-ng reads `text`.

    Args:
        text: what is read; its script excludes the languages that are not written in it.
        tag: the language that the text should be in; empty: unknown.

    Returns:
        None: the script has no espeak-ng voice, or `tag` decides (Latin script, text without letters) and has none.
    """
    script = main_script(text)
    voices = _VOICES.get(script, [])
    if primary(tag) in (voices if script else _ALL_VOICES):
        return _language(primary(tag))
    letters = set(text)
    if script == "Cyrillic" and letters & _UKRAINIAN:
        return _language("uk")
    if script == "Arabic" and letters & _URDU:
        return _language("ur")
    if script == "Arabic" and letters & _PERSIAN:
        return _language("fa")
    return _language(voices[0]) if voices and script != LATIN else None


def _language(tag: str) -> Language:
    return Language(_ESPEAK.get(tag, tag), _NAMES[tag])
