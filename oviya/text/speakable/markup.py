"""Takes markdown and HTML off a text."""

from __future__ import annotations

import html
import re

from oviya.text.speakable.words import ordinal

_STAGE = (
    r"(?:laugh|smile|sigh|chuckle|pause|nod|giggle|wink|whisper|grin|hug|clap|breathe|lean|tilt|blink|shrug|beam)s?"
)
"""What an actor is told to do: models write it between brackets or asterisks."""
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(rf"[*(\[_](?:\w+ly )?{_STAGE}\b[^*()\[\]_\n]{{0,40}}[*)\]_]", re.IGNORECASE), ""),
    (re.compile(r"!?\[([^\[\]\n]*)\]\([^)\s]*(?:\s\"[^\"]*\")?\)"), r"\1"),  # links and images keep their words
    (re.compile(r"\[\^?\d+\]"), ""),  # footnotes
    (re.compile(r"(?m)^\s*\|?[\s:|-]*-{2,}[\s:|-]*$"), ""),  # rules, and the line below a table's head
    (re.compile(r"(?m)^\s{0,3}#{1,6}\s+"), ""),
    (re.compile(r"(?m)^\s*(?:>\s?)+"), ""),
    (re.compile(r"(?m)^\s*[-*+\u2022\u2023\u25aa\u00b7]\s+(?:\[[ xX]\]\s+)?"), ""),
    (re.compile(r"(?m)^\s*\|(.*)\|\s*$"), r"\1"),
    (re.compile(r"\s*\|\s*"), ", "),
    (re.compile(r"</?[a-zA-Z][^<>\n]{0,80}>"), " "),
    (re.compile(r"\*\*\*|\*\*|__|~~|\|\|"), ""),
    (re.compile(r"(?<![\w*])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])"), r"\1"),
    (re.compile(r"(?<![\w_])_(?=\S)([^_\n]+?)(?<=\S)_(?![\w_])"), r"\1"),
    (re.compile(r"```\w*|`"), ""),
    (re.compile(r"\\([\\`*_{}\[\]()#+.!-])"), r"\1"),
)
_NUMBERED = re.compile(r"^\s*(\d{1,2})[.)]\s+(?=\S)")


def without_markup(text: str) -> str:
    """`text` without marks that are seen and not heard; the number of a list's item becomes "First,"."""
    text = html.unescape(text)
    text = _NUMBERED.sub(lambda item: f"{ordinal(int(item[1])).capitalize()}, ", text)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text
