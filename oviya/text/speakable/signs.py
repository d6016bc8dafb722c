"""Says emoji and signs."""

from __future__ import annotations

import re
import unicodedata

import emoji

_EMOTICON = re.compile(r"(?<![\w])(?:[:;=8][-'^]?[)(DPpOo3/|*]|<3|\^_\^|[xX]D)(?![\w])")
_WORDS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\be\.g\.,?", re.IGNORECASE), "for example,"),
    (re.compile(r"\bi\.e\.,?", re.IGNORECASE), "that is,"),
    (re.compile(r"\betc\.(?=\s+[a-z,])", re.IGNORECASE), "et cetera"),
    (re.compile(r"\betc\b", re.IGNORECASE), "et cetera"),
    (re.compile(r"\bvs\.?(?!\w)", re.IGNORECASE), "versus"),
    (re.compile(r"\bapprox\.", re.IGNORECASE), "approximately"),
    (re.compile(r"\bw/o\b"), "without"),
    (re.compile(r"\bw/ "), "with "),
    (re.compile(r"\band/or\b"), "and or"),
    (re.compile(r"(?<=[a-zA-Z])/(?=[a-zA-Z])"), " or "),
    (re.compile(r"(?<=[a-z0-9])_(?=[a-z0-9])", re.IGNORECASE), " "),
    (re.compile(r"(?:->|=>|\u2192|\u21d2)"), ", then "),
    (re.compile(r"\s*(?:==|=)\s*"), " equals "),
    (re.compile(r"<="), " at most "),
    (re.compile(r">="), " at least "),
    (re.compile(r"\s*\u2264\s*"), " at most "),
    (re.compile(r"\s*\u2265\s*"), " at least "),
    (re.compile(r"(?<=\w)\s+[\u00d7*]\s+(?=\w)"), " times "),
    (re.compile(r"\u00d7"), " times "),
    (re.compile(r"(?<=\w)\s*\u00f7\s*(?=\w)"), " divided by "),
    (re.compile(r"(?<=\w)\s+\+\s+(?=\w)"), " plus "),
    (re.compile(r"(?<=\w)\s+<\s+(?=\w)"), " less than "),
    (re.compile(r"(?<=\w)\s+>\s+(?=\w)"), " more than "),
    (re.compile(r"\s*&\s*"), " and "),
    (re.compile(r"[~\u2248](?=\s?\w)"), "about "),
    (re.compile(r"(?<!\w)@(?=\w)"), "at "),
    (re.compile(r"(?<=\w)\+(?!\w)"), " plus"),
    (re.compile(r"\s*[\u2014\u2013]\s*|\s+--?\s+"), ", "),
    (re.compile(r"[\[\]{}<>|\\^*_`#~=+]"), " "),
    (re.compile(r"[\u00a9\u00ae\u2122]"), ""),
)


def say_emoji(text: str) -> str:
    """`text` without emoji; where it holds nothing else, their names."""
    if not emoji.emoji_count(text):
        return _EMOTICON.sub("", text)
    words = _EMOTICON.sub("", emoji.replace_emoji(text, " "))
    if any(sign.isalnum() for sign in words):
        # A stop between the words and the emoji behind them is drawn back to the words.
        return re.sub(r"\s+([.!?,])", r"\1", words)
    names = dict.fromkeys(_name(found["emoji"]) for found in emoji.emoji_list(text))
    return ", ".join(name for name in names if name)


def say_signs(text: str) -> str:
    """`text` with signs and abbreviations said, and without signs that say nothing."""
    for pattern, words in _WORDS:
        text = pattern.sub(words, text)
    return "".join(sign for sign in text if unicodedata.category(sign) not in ("So", "Sk"))


def _name(sign: str) -> str:
    return emoji.demojize(sign, delimiters=("", "")).replace("_", " ").replace("-", " ").strip()
