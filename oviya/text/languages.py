"""The language in which a text is read aloud."""

from __future__ import annotations

from dataclasses import dataclass

from oviya.text.language_tags import name_of, primary
from oviya.text.scripts import LATIN, main_script
from oviya.text.tables import load_table

_TABLES = load_table("languages")
_VOICES: dict[str, list[str]] = _TABLES["voices"]
_ALL_VOICES = frozenset(tag for tags in _VOICES.values() for tag in tags)
_ESPEAK: dict[str, str] = _TABLES["espeak"]
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
    return Language(_ESPEAK.get(tag, tag), name_of(tag))
