"""Tells a mark that sets thinking or a call apart from one that a sentence only speaks of.

"I use the <think> tag in HTML." holds no thinking.
"""

from __future__ import annotations

import re

MENTION_CHARS = 48
"""As many characters after a mark show whether it is only mentioned."""
TAIL_CHARS = 32
"""As many characters before a mark are looked at."""

_CLOSING = {'"': '"', "'": "'", "\u201c": "\u201d", "\u2018": "\u2019", "\u00ab": "\u00bb", "(": ")"}
_BEFORE_START = frozenset(".!?\u2026:;\u3002\uff01\uff1f>])\"'\u201d*_")
"""Signs that end what stands before thinking."""
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


def begins_after(tail: str) -> bool:
    """Says whether thinking can begin after `tail`: after nothing, a line, a sentence, or another mark."""
    before = tail.rstrip()
    return not before or before[-1] in _BEFORE_START or "\n" in tail[len(before) :]


def names_after(tail: str) -> bool:
    """Says whether what follows `tail` is named by it: "the closing ..."."""
    return _NAMED.search(tail) is not None


def quote_after(tail: str) -> str:
    """The sign that closes the quotation which `tail` has just opened; empty: none."""
    return _CLOSING.get(tail[-1:], "")


def is_mentioned(after: str, quote: str, *, final: bool) -> bool:
    """Says whether a mark is only mentioned, by what follows it.

    Args:
        after: what follows the mark.
        quote: what closes the quotation, or the code, in which the mark stands; empty: none.
        final: nothing more follows.
    """
    if quote and (after.startswith(quote) or ("`" in quote and quote in after)):
        return True
    found = _MENTIONED.match(after)
    if found and (final or found.end() < len(after)):
        return not after[found.end() :].startswith("-")
    return final and is_subject(after)


def is_subject(after: str) -> bool:
    """Says whether a mark is what a sentence is about: "<think> is a tag"."""
    return _SUBJECT.match(after) is not None


def joins_mentions(between: str, *, doubtful: bool) -> bool:
    """Says whether both a mark and its end are only mentioned, by what stands between: "<think> and </think>"."""
    joined = bool(between.strip()) and _BETWEEN.fullmatch(between) is not None
    return joined and (doubtful or any(map(str.isalpha, between)))
