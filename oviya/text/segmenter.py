"""Cuts text into segments for speech: a whole text, or a stream of tokens, each segment as early as it is safe.

A full stop alone is ambiguous: "3." may become "3.5", "Dr." goes on, and "example." may be half of an address.  So a
segment is returned at once if the word before its stop is sufficient, and otherwise when the following text arrives.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from oviya.text.sentence_ends import (
    CLOSERS,
    STOPS,
    WIDE_STOPS,
    Stop,
    forced_cut,
    is_pictograph,
    is_quotation_open,
    line_ends,
)

MIN_CLAUSE_WORDS = 4
_MARK = re.compile(
    rf"\n|[{STOPS}{WIDE_STOPS}]++[{re.escape(CLOSERS)}]*+"
    r"|(?<=[^\W\d])[,;]$|[,;:\u2014\u2013](?=\s)|\s-(?=\s)|[\uff0c\u3001\uff1b\uff1a\u060c\u061b]"
)
_TAG = re.compile(r"(?<!\s)\s*+\[[^\]\n]{0,40}\]")
_LEFT_OVER = re.compile(r"[.!?\u2026)\]*_`~\u2019\u201d\u300d\u300f\uff09]++")
"""Stops and closing signs after a stop whose segment was returned early; they are not spoken."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A sentence, or a part of one.

    Attributes:
        text: without surrounding white space; not empty.
        starts_sentence: it begins a sentence; False: it continues the sentence of the previous segment.
    """

    text: str
    starts_sentence: bool


class Segmenter:
    """Segments one stream.

    Args:
        max_chars: longest segment; a longer sentence is cut after a clause, else between words, else anywhere.
        first_clause_chars: length from which the first clause is returned before its sentence is complete; 0: never.
    """

    def __init__(self, *, max_chars: int = 240, first_clause_chars: int = 40) -> None:
        self._max_chars = max_chars
        self._first_clause_chars = first_clause_chars
        self._text = ""
        self._starts = True
        self._first = True
        self._early_stop = ""  # the stop after which the last segment was returned early
        self._quoted = False  # a quotation is open at the start of `_text`
        self._begin_scan()

    def push(self, text: str) -> list[Segment]:
        """Adds text; returns the segments that are complete."""
        if self._early_stop and text:
            text = self._after_early_stop(text)
        self._text += text
        return self._cut(final=False)

    def flush(self) -> list[Segment]:
        """Ends the stream; returns the remaining segments."""
        return [*self._cut(final=True), *self._pop(len(self._text), ends=True)]

    def _begin_scan(self) -> None:
        """Restarts the search for a cut at the start of the text."""
        self._position = 0
        self._clause = 0  # end of the last clause
        self._seen = 0  # end of the text that `_open` applies to
        self._open = self._quoted  # a quotation is open at `_seen`

    def _after_early_stop(self, text: str) -> str:
        """The text after an early stop: "com" of "example.com" becomes "dot com"."""
        found = _LEFT_OVER.match(text)
        rest = text[found.end() :] if found else text
        if rest:
            stop, self._early_stop = self._early_stop, ""
            if stop == "." and not found and rest[0].islower():
                self._starts = False
                return f"dot {rest}"
        return rest

    def _cut(self, *, final: bool) -> list[Segment]:
        segments: list[Segment] = []
        while True:
            cut, ends = self._find(final)
            if cut == 0:
                return segments
            segments += self._pop(cut, ends=ends)

    def _pop(self, cut: int, *, ends: bool) -> list[Segment]:
        """Removes `cut` characters; returns them as a segment unless they are white space."""
        removed, self._text = self._text[:cut], self._text[cut:]
        self._quoted = False if removed.endswith("\n") else is_quotation_open(removed, self._quoted)
        self._begin_scan()
        text = removed.strip()
        if not text:
            return []
        segment = Segment(text, self._starts)
        self._starts, self._first = ends, False
        return [segment]

    def _find(self, final: bool) -> tuple[int, bool]:
        """Where to cut, and whether a sentence ends there; 0: no cut is safe yet."""
        text = self._text
        for mark in _MARK.finditer(text, self._position):
            start, end = mark.span()
            if end > self._max_chars:
                break
            self._see(start)
            sign = mark.group()[0]
            if sign == "\n":
                ends = line_ends(text, start, final=final)
            elif sign in STOPS + WIDE_STOPS:
                ends = self._stop_ends(sign, start, end, final=final)
            else:
                self._clause = end
                if self._first and self._is_first_clause(end):
                    return end, False
                if end < len(text):
                    continue
                ends = None  # a comma at the end is examined again with the text after it
            if ends is None:
                self._position = start
                break
            if ends:
                return self._with_emoji(end), True
            self._position = end
        else:
            self._position = max(self._position, len(text) - 2)  # where an incomplete mark may begin
        if len(text) <= self._max_chars:
            return 0, False
        return forced_cut(text, self._max_chars, self._clause), False

    def _stop_ends(self, sign: str, start: int, end: int, *, final: bool) -> bool | None:
        """Whether a sentence ends at a stop; None: this depends on text that has not arrived."""
        if sign in WIDE_STOPS:
            self._early_stop = "" if end < len(self._text) or final else sign
            return True
        stop = Stop(self._text, start, end, self._open, final, self._max_chars + 1)
        if end == len(self._text):
            self._early_stop = sign if stop.ends_early() else ""
        return stop.ends()

    def _with_emoji(self, end: int) -> int:
        """The end of a sentence including the emoji after its stop."""
        text, at = self._text, end
        while at < min(len(text), self._max_chars):
            if text[at] != " " and not is_pictograph(text[at]):
                break
            at += 1
            if text[at - 1] != " ":
                end = at
        return end

    def _see(self, end: int) -> None:
        """Updates `_open` for the text up to `end`."""
        if end > self._seen:
            self._open = is_quotation_open(self._text[self._seen : end], self._open)
            self._seen = end

    def _is_first_clause(self, end: int) -> bool:
        if not 0 < self._first_clause_chars <= end:
            return False
        spoken = _TAG.sub("", self._text[:end], count=1).strip()
        long_enough = self._first_clause_chars <= len(spoken) and len(spoken.split()) >= MIN_CLAUSE_WORDS
        return long_enough and not self._open
