"""Decides whether a marker is used or only mentioned: "I use the <think> tag in HTML." contains no thinking."""

from __future__ import annotations

import re

MENTION_CHARS = 48
"""Characters after a marker that decide whether it is only mentioned."""
TAIL_CHARS = 32
"""Characters before a marker that are examined."""

_CLOSING = {'"': '"', "'": "'", "\u201c": "\u201d", "\u2018": "\u2019", "\u00ab": "\u00bb", "(": ")"}
_BEFORE_START = frozenset(".!?\u2026:;\u3002\uff01\uff1f>])\"'\u201d*_")
"""Signs after which thinking can begin."""
_MENTIONED = re.compile(
    r"[\"'`\u201d\u2019]?[,.;:!?)](?=\s|$)"
    r"|[\"'`\u201d\u2019]?\s?-?\s?(?:html |xml |special )?"
    r"(?:tags?|elements?|tokens?|markers?|marks?|blocks?|labels?|sections?|markup)\b",
    re.IGNORECASE,
)
_SUBJECT = re.compile(r"\A\s++(?:is|are|was|means|marks|stands for|starts|begins|opens|and|or)\b", re.IGNORECASE)
_BETWEEN = re.compile(
    r"[\"'`\u201d]?\s*(?:and|or|to|until|with|then|/|,|\.\.\.|\u2026|-|\u2013)?\s*(?:its |the |a )?"
    r"(?:closing |end |matching )?(?:tag )?[\"'`\u201c]?"
)
_NAMED = re.compile(
    r"(?:\b(?:the|an?|its|closing|opening|with|and|or|by|uses?|using|writes?|called|tags?)[ ]+|[`\"'\u201c\u2018(])$",
    re.IGNORECASE,
)


def can_begin_after(tail: str) -> bool:
    """Whether a marked block can begin after `tail`: at the start, or after a line, a sentence or another marker."""
    before = tail.rstrip()
    return not before or before[-1] in _BEFORE_START or "\n" in tail[len(before) :]


def is_named_by(tail: str) -> bool:
    """Whether `tail` announces a name: "the closing ..."."""
    return _NAMED.search(tail) is not None


def quote_after(tail: str) -> str:
    """The sign that closes a quotation opened at the end of `tail`; empty: none."""
    return _CLOSING.get(tail[-1:], "")


def is_mentioned(after: str, quote: str, *, final: bool) -> bool:
    """Whether the text after a marker shows that it is only mentioned.

    Args:
        after: the text after the marker.
        quote: the sign that closes the quotation or code span around the marker; empty: none.
        final: no more text follows.
    """
    if quote and (after.startswith(quote) or ("`" in quote and quote in after)):
        return True
    found = _MENTIONED.match(after)
    if found and (final or found.end() < len(after)):
        return not after[found.end() :].startswith("-")
    return final and is_subject(after)


def is_subject(after: str) -> bool:
    """Whether a marker is the subject of a sentence: "<think> is a tag"."""
    return _SUBJECT.match(after) is not None


def joins_mentions(between: str, *, doubtful: bool) -> bool:
    """Whether the text between two markers shows that both are only mentioned: "<think> and </think>"."""
    joined = bool(between.strip()) and _BETWEEN.fullmatch(between) is not None
    return joined and (doubtful or any(map(str.isalpha, between)))
