"""Finds the markers of chat templates in a stream.

A marker is a special token ("<|im_end|>", "</s>", "[/INST]") or a tag around a part of an answer ("<think>",
"<tool_call>").  Models write markers as text if the server's template does not know them.  The names come from the chat
templates of Llama, Mistral, Qwen, DeepSeek, Gemma, Phi, GLM, Kimi, Command R, Granite, Seed-OSS, MiniMax and gpt-oss.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from services.brain.tables import load_table

Kind = Literal[
    "think", "/think", "call", "/call", "part", "header", "/header", "channel", "role", "inst", "end", "silent"
]
"""What a marker does.

"think", "/think": begins and ends thinking.  "call", "/call": begins and ends a tool call; "part" separates its parts.
"header", "/header": surround a role; "channel": precedes the name of a channel; "role": contains the role.  "inst":
surrounds a user's message.  "end": ends a turn.  "silent": any other token.
"""

MAX_MARKER_CHARS = 160
"""Longest marker, including attributes; longer text is not a marker."""


@dataclass(frozen=True, slots=True)
class Marker:
    """A marker.

    Attributes:
        kind: what it does.
        name: its name in lower case, without brackets.
        raw: as it was written.
        closes: it has the form of a closing marker: a slash, or "end" in its name.
    """

    kind: Kind
    name: str
    raw: str
    closes: bool = False

    @property
    def is_token(self) -> bool:
        """Whether the marker is a special token, not a tag."""
        return self.raw.startswith(("<|", "<\uff5c", "["))


_TABLES = load_table("template-markers")
_THINKING, _CALLS, _TURN_ENDS, _PIPED = (
    frozenset(_TABLES[name]) for name in ("thinking", "calls", "turn_ends", "piped")
)
_HEADS = frozenset({"start_of_turn"})
_NEED_NAME = frozenset({"function", "invoke"})
_ANGLED: frozenset[str] = _THINKING | _CALLS | _TURN_ENDS | _HEADS | _PIPED
_SQUARE: dict[str, Kind] = _TABLES["square"]
_LONGEST_SQUARE = max(map(len, _SQUARE)) + 3

_TOKENS: list[tuple[re.Pattern[str], Kind]] = [
    (re.compile(pattern.replace("{roles}", "|".join(_TABLES["roles"]))), kind) for pattern, kind in _TABLES["tokens"]
]
"""Patterns of special tokens in lower case, with "_" in place of other signs; the first match applies."""

_TAG = re.compile(r"<\s{0,3}(/?)\s{0,3}([A-Za-z_][\w.:-]*)(?P<rest>(?:[\s=/|][^<>\n]*)?)>")
_TAG_PREFIX = re.compile(r"<\s{0,3}/?\s{0,3}(?:([A-Za-z_][\w.:-]*)([\s=/|][^<>\n]*)?)?")
_TOKEN = re.compile(r"<[|\uff5c]([^<>|\uff5c\n]{1,64})[|\uff5c]?>")
_BROKEN_TOKEN = re.compile(r"<[|\uff5c]\w")
_TOKEN_PREFIX = re.compile(r"<[|\uff5c][^<>|\uff5c\n]{0,64}[|\uff5c]?")
_SYS = re.compile(r"<<\s?(/?)\s?SYS\s?>>", re.IGNORECASE)
_SYS_PREFIX = re.compile(r"<(?:<(?:\s?/?\s?(?:S(?:Y(?:S(?:\s?>)?)?)?)?)?)?", re.IGNORECASE)
_BRACKETED = re.compile(r"\[\s?(/?)\s?([A-Za-z_]+)\s?\]")
_BRACKETED_PREFIX = re.compile(r"\[\s?/?\s?([A-Za-z_]*)\s?")
_KIMI = re.compile(r"\u25c1\s?(/?)\s?(think|thinking)\s?\u25b7", re.IGNORECASE)
_KIMI_PREFIX = re.compile(r"\u25c1\s?/?\s?([A-Za-z]{0,8})\s?")
_START = re.compile(r"[<\[\u25c1]")
_SPECIAL = re.compile(
    r"<[|\uff5c]|[|\uff5c]>|<(?=/?\s?(?:s|bos|eos|start_of_turn|end_of_turn|SYS|<)\b|<)|\[(?=/?INST\])"
)


def escape_special_tokens(text: str) -> str:
    """Makes special tokens in a user's text plain text; servers would interpret them."""
    return _SPECIAL.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)


class MarkerScanner:
    """Separates the markers of one stream from its text.  Runs in linear time."""

    def __init__(self) -> None:
        self._held = ""  # a possible beginning of a marker

    def push(self, text: str) -> list[str | Marker]:
        """Adds text; returns text and markers in order, except for a possible beginning of a marker."""
        found: list[str | Marker] = []
        text, self._held = self._held + text, ""
        at = 0
        while (start := _START.search(text, at)) is not None:
            marker, end = _read(text, start.start())
            if end < 0:  # the text ends inside a possible marker
                self._held = text[start.start() :]
                text = text[: start.start()]
                break
            if marker is None:
                found.append(text[at:end])
            else:
                if start.start() > at:
                    found.append(text[at : start.start()])
                found.append(marker)
            at = end
        if text[at:]:
            found.append(text[at:])
        return found

    def flush(self) -> str:
        """Ends the stream; returns the possible beginning of a marker, unless it is a broken token."""
        held, self._held = self._held, ""
        return "" if _BROKEN_TOKEN.match(held) else held


def _read(text: str, at: int) -> tuple[Marker | None, int]:
    """Reads the marker at `at`; returns it and its end.

    If there is none, the end is after the first character, or -1 if more text may complete a marker.
    """
    if text[at] == "<":
        return _read_angled(text, at)
    if text[at] == "[":
        found = _BRACKETED.match(text, at)
        if found and (kind := _SQUARE.get(found[2].lower())):
            return _marker(kind, found[2].lower(), found[0], bool(found[1])), found.end()
        prefix = _BRACKETED_PREFIX.match(text, at)
        name = prefix[1].lower() if prefix else ""
        open_ended = prefix is not None and prefix.end() == len(text) and len(text) - at <= _LONGEST_SQUARE + 3
        return None, -1 if open_ended and any(known.startswith(name) for known in _SQUARE) else at + 1
    found = _KIMI.match(text, at)
    if found:
        return _marker("think", found[2].lower(), found[0], bool(found[1])), found.end()
    prefix = _KIMI_PREFIX.match(text, at)
    open_ended = prefix is not None and prefix.end() == len(text) and "thinking".startswith(prefix[1].lower())
    return None, -1 if open_ended else at + 1


def _read_angled(text: str, at: int) -> tuple[Marker | None, int]:
    window = text[at : at + MAX_MARKER_CHARS]
    if found := _TOKEN.match(window):
        return _token(found[1], found[0]), at + found.end()
    if found := _SYS.match(window):
        return Marker("inst", "sys", found[0], bool(found[1])), at + found.end()
    if (found := _TAG.match(window)) and (marker := _tag(found)) is not None:
        return marker, at + found.end()
    return None, -1 if len(window) < MAX_MARKER_CHARS and _may_become_marker(window) else at + 1


def _may_become_marker(window: str) -> bool:
    """Whether text that begins with "<" may be the beginning of a marker."""
    for pattern in (_TOKEN_PREFIX, _SYS_PREFIX):
        if pattern.fullmatch(window):
            return True
    prefix = _TAG_PREFIX.fullmatch(window)
    if prefix is None:
        return False
    name, rest = (prefix[1] or "").lower(), prefix[2]
    base = name.rstrip("0123456789_")
    if rest is None:
        return base in _ANGLED or any(known.startswith(name) for known in _ANGLED)
    takes_more = name in _THINKING | _CALLS or rest[0] in "|/" or not rest.strip()
    return takes_more and base in _ANGLED


def _tag(found: re.Match[str]) -> Marker | None:
    name, rest, closes = found[2].lower(), found["rest"].strip(), bool(found[1])
    base = name.rstrip("0123456789_")
    if rest.endswith("|"):  # Gemma 4 closes "<|channel>" with "<channel|>"
        return _token(f"/{name}", found[0])
    marker: Marker | None = None
    if name in _THINKING:
        marker = Marker("silent", name, found[0]) if rest == "/" else _marker("think", name, found[0], closes)
    elif name in _CALLS:
        # "<function>" is a call only with a name.
        marker = _marker("call", name, found[0], closes) if name not in _NEED_NAME or rest or closes else None
    elif not rest.strip("/") and name in _HEADS:
        marker = Marker("header", name, found[0])
    elif not rest.strip("/") and base in _TURN_ENDS:
        marker = Marker("end", name, found[0])
    return marker


def _token(name: str, raw: str) -> Marker:
    key = re.sub(r"[\s\u2581.-]+", "_", name.strip().lower()).strip("_")
    closes = key.startswith(("/", "end_")) or key.endswith("_end")
    kind = _kind_of_token(key)
    if kind == "role" or (kind == "header" and key.startswith("im_") and key != "im_start"):
        key = key.removeprefix("/").removeprefix("im_").removesuffix("_token")
    return _marker(kind, key, raw, closes)


def _kind_of_token(key: str) -> Kind:
    for pattern, kind in _TOKENS:
        if pattern.fullmatch(key):
            return kind
    return "silent"


def _marker(kind: Kind, name: str, raw: str, closes: bool) -> Marker:
    if closes and kind in ("think", "call"):
        return Marker("/think" if kind == "think" else "/call", name, raw, closes=True)
    return Marker(kind, name, raw, closes)
