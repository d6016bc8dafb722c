"""BCP 47 tags of languages: their form, and their English names."""

from __future__ import annotations

import re

from oviya.text.tables import load_table

MAX_TAG_CHARS = 35
"""RFC 5646 recommends room for tags of this length."""
_TAG = re.compile(r"[a-zA-Z]{2,3}(?:-[a-zA-Z0-9]{1,8})*")
_NAMES: dict[str, str] = load_table("languages")["names"]


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
