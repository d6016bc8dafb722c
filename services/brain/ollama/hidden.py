"""Takes out of a stream what is not for ears: thinking, special tokens, other speakers' words, marked tool calls."""

from __future__ import annotations

import re
from typing import Literal

from services.brain.ollama.habit import ThinkingHabit, reads_as_thinking
from services.brain.ollama.markers import Mark, MarkScanner
from services.brain.ollama.tags import read_tags

State = Literal["said", "thinking", "header", "foreign", "call"]

MAX_CALL_CHARS = 16_384
"""Longest tool call; what follows is dropped."""
MAX_HEADER_CHARS = 120
"""Longest name of a speaker or channel; what is longer is no name."""
MAX_HEADER_WORDS = 3
MENTION_CHARS = 48
"""As many characters after a mark show whether it is only mentioned."""
TAIL_CHARS = 32
MAX_TAG_CHARS = 48
OPENING_WINDOW = 192
"""Characters at the start of an answer that are judged: its emotion, and whether it reads as thinking."""

_THINKING_CHANNELS = frozenset({"analysis", "thought", "thoughts", "thinking", "think", "reasoning"})
_OTHERS = frozenset({
    "user", "human", "system", "developer", "tool", "ipython", "observation", "environment", "function", "functions",
})  # fmt: skip
_QUOTES = {'"': '"', "'": "'", "\u201c": "\u201d", "\u2018": "\u2019", "\u00ab": "\u00bb", "(": ")"}
_AT_START = re.compile(r"(?:^|[\n.!?\u2026:;\u3002\uff01\uff1f>\]\)\"'\u201d*_])\s*$")
"""What thinking begins after: nothing, a line, a sentence, or another mark."""
_MENTIONED = re.compile(
    r"[\"'`\u201d\u2019]?[,.;:!?)](?=\s|$)"
    r"|[\"'`\u201d\u2019]?\s?-?\s?(?:html |xml |special )?"
    r"(?:tags?|elements?|tokens?|markers?|marks?|blocks?|labels?|sections?|markup)\b",
    re.IGNORECASE,
)
"""What follows a mark that a sentence only speaks of."""
_SUBJECT = re.compile(r"\s+(?:is|are|was|means|marks|stands for|starts|begins|opens|and|or)\b", re.IGNORECASE)
_BETWEEN_MENTIONS = re.compile(
    r"[\"'`\u201d]?\s*(?:and|or|to|until|with|then|/|,|\.\.\.|\u2026|-|\u2013)?\s*(?:its |the |a )?"
    r"(?:closing |end |matching )?(?:tag )?[\"'`\u201c]?"
)
_NAMED_BEFORE = re.compile(
    r"(?:\b(?:the|an?|its|closing|opening|with|and|or|by|uses?|using|writes?|called|tags?)[ ]+|[`\"'\u201c\u2018(])$",
    re.IGNORECASE,
)
_BARE_CHANNELS = re.compile(r"\s*analysis(?=[A-Z:]).*?assistant\s?final:?", re.DOTALL)
"""gpt-oss's channels where the server has taken off their marks: "analysisThe user greets me.assistantfinalHello!"."""
_TAG_OPENS = re.compile(r"\s*(?:\*{1,2}|_)?\[")


class Thinking:
    """One answer.

    Thinking between marks is removed.  So is thinking that no mark begins, once its end is seen: the start of an answer
    is held back as long as the habit of the model asks for it.  A mark that a sentence only mentions stays as its name.

    Args:
        habit: what is known of the model; it is kept up to date.  None: nothing is known.
    """

    def __init__(self, habit: ThinkingHabit | None = None) -> None:
        self._habit = habit or ThinkingHabit()
        self._scanner = MarkScanner()
        self._state: State = "said"
        self._out: list[str] = []
        self._tail = ""  # the last characters that were to be said
        self._code = 0  # length of the run of backticks that opened code; 0: none is open
        self._ticks = 0  # backticks that the text ends with
        # --- the start of an answer, or of what follows nested thinking
        self._start: list[str] = []
        self._start_chars = 0
        self._opening = ""  # its first characters
        self._limit = self._habit.hold_chars()
        self._holding = True
        self._tagged = False  # this stretch begins with an emotion
        self._released = False  # something of this stretch was given on
        # --- within a mark
        self._inside: list[str] = []
        self._inside_chars = 0
        self._opener = Mark("silent", "", "")
        self._doubtful = False  # the mark may only be mentioned
        self._quote = ""
        self._nested = 0
        self._header = ""
        self._channel_at = -1
        self._recipient = ""
        self._ended_by_stray = False
        self._after_nested = False
        self.removed = 0
        """Characters of thinking that were removed."""
        self.foreign = 0
        """Characters that were written in the name of somebody else and were removed."""
        self.swallowed = 0
        """Characters that were removed as thinking that never ended."""
        self.retracted = False
        """What was given on before was thinking: whoever has not yet said it should not.  The caller resets it."""
        self.calls: list[tuple[str, str]] = []
        """Marked tool calls: the name in the mark, which may be empty, and the text."""

    def push(self, text: str) -> str:
        """Takes the next text; returns what of it is to be said."""
        for part in self._scanner.push(text):
            if isinstance(part, Mark):
                self._mark(part)
            else:
                self._text(part)
        return self._take()

    def flush(self, *, cut: bool = False) -> str:
        """Ends the answer; returns what was held back and is to be said.

        Args:
            cut: the answer ended because it reached its longest length.
        """
        if rest := self._scanner.flush():
            self._text(rest)
        if self._state == "thinking":
            self._end_unclosed(cut)
        elif self._state == "call":
            self._end_call()
        elif self._state == "header" and len(self._header.split()) > MAX_HEADER_WORDS:
            self._state = "said"
            self._say(self._header)
        if self._holding:
            self._end_start(cut)
        elif not self._ended_by_stray and not self._habit.unmarked and self._released:
            self._habit.plain = True
        return self._take()

    def _take(self) -> str:
        said = "".join(self._out)
        self._out.clear()
        return said

    # --- Text ---------------------------------------------------------------------------------------------------------

    def _text(self, text: str) -> None:
        if self._state == "said":
            self._say(text)
        elif self._state == "thinking":
            self._think(text)
        elif self._state == "call":
            self._collect(text)
        elif self._state == "foreign":
            self.foreign += len(text)
        else:
            self._read_header(text)

    def _say(self, text: str) -> None:
        if not text:
            return
        self._tail = (self._tail + text)[-TAIL_CHARS:]
        self._follow_code(text)
        if not self._holding:
            self._released = self._released or not text.isspace()
            self._out.append(text)
            return
        self._start.append(text)
        self._opening += text[: max(0, OPENING_WINDOW - len(self._opening))]
        seen, self._start_chars = self._start_chars, self._start_chars + len(text)
        if self._may_leave(seen):
            self._release()

    def _may_leave(self, seen: int) -> bool:
        """Says whether the start of an answer may be given on; the first `seen` characters of it were judged before."""
        opening = self._opening
        if seen <= MAX_TAG_CHARS and _TAG_OPENS.match(opening):
            if "]" not in opening and len(opening) <= MAX_TAG_CHARS:
                return False
            kind = next(read_tags(opening)).kind
            self._tagged = kind != "missing" and (kind != "unknown" or not self._habit.unmarked)
            if self._tagged:
                return True
        if self._start_chars < self._limit:
            return False
        if reads_as_thinking(opening):
            self._limit = float("inf")
            return False
        return True

    def _release(self) -> None:
        text = "".join(self._start)
        self._drop_start()
        self._holding = False
        self._released = self._released or not text.isspace()
        self._out.append(text)

    def _drop_start(self) -> None:
        self._start.clear()
        self._start_chars, self._opening = 0, ""

    def _end_start(self, cut: bool) -> None:
        text = "".join(self._start)
        if not text.strip():
            return
        if channels := _BARE_CHANNELS.match(text):
            self._habit.unmarked = True
            self.removed += channels.end()
            self._start = [text[channels.end() :]]
            self._release()
            return
        suspected = self._habit.unmarked or self._after_nested
        if reads_as_thinking(text) and (cut or suspected or (self._habit.can_think and not self._habit.plain)):
            self._drop_start()
            self.removed += len(text)
            self.swallowed += len(text)
            return
        self._release()
        if not suspected and not cut:
            self._habit.plain = True

    def _follow_code(self, text: str) -> None:
        """Follows which run of backticks is open; a single one ends with its line."""
        if "`" not in text and not self._ticks and not self._code:
            return
        for sign in text:
            if sign == "`":
                self._ticks += 1
                continue
            if self._ticks:
                self._end_ticks()
            if sign == "\n" and self._code < 3:
                self._code = 0

    def _end_ticks(self) -> None:
        ticks, self._ticks = self._ticks, 0
        self._code = ticks if self._code == 0 else 0 if ticks >= self._code else self._code

    # --- Marks --------------------------------------------------------------------------------------------------------

    def _mark(self, mark: Mark) -> None:
        if self._state == "thinking":
            self._mark_in_thinking(mark)
        elif self._state == "call":
            self._mark_in_call(mark)
        elif self._state == "header":
            self._mark_in_header(mark)
        elif self._state == "foreign":
            if mark.kind in ("header", "role", "channel"):
                self._state = "said"
                self._outside(mark)
            elif (mark.kind == "inst" and mark.closes and mark.name == self._opener.name) or mark.kind == "end":
                self._state = "said"
        else:
            self._outside(mark)

    def _outside(self, mark: Mark) -> None:
        """A mark among what is said."""
        if self._ticks:
            self._end_ticks()
        if mark.kind in ("think", "call"):
            self._open(mark)
        elif mark.kind == "/think":
            self._close_stray(mark)
        elif mark.kind == "inst" and not mark.closes:
            if _AT_START.search(self._tail):
                self._state, self._opener = "foreign", mark
        elif mark.kind == "role":
            if not mark.closes and mark.name in _OTHERS and _AT_START.search(self._tail):
                self._state = "foreign"
        elif mark.kind in ("header", "channel"):
            self._begin_header(mark)
        elif mark.kind == "/header" and mark.name == "message":
            self._bare_message()
        elif mark.kind in ("end", "silent") and self._code in (1, 2):
            self._say(mark.name.replace("_", " "))  # `<|im_end|>` in a sentence about it
        elif mark.kind == "end" and self._tail[-1:].isalnum():
            self._say("\n")  # a turn ends here: what follows must not run into the word before

    def _open(self, mark: Mark) -> None:
        self._quote = "`" * self._code or _QUOTES.get(self._tail[-1:], "")
        self._doubtful = bool(self._quote) or not _AT_START.search(self._tail)
        self._opener, self._nested = mark, 0
        self._inside.clear()
        self._inside_chars = 0
        self._recipient = ""
        self._state = "thinking" if mark.kind == "think" else "call"
        if mark.kind == "call" and mark.name in ("function", "invoke", "tool_use", "use_tool"):
            self._inside.append(mark.raw)

    def _mentions(self, text: str, *, final: bool) -> bool:
        """Says whether the open mark is only mentioned, by what follows it."""
        if self._quote and (text.startswith(self._quote) or ("`" in self._quote and self._quote in text)):
            return True
        found = _MENTIONED.match(text)
        if found and (final or found.end() < len(text)):
            return not text[found.end() :].startswith("-")
        return final and _SUBJECT.match(text) is not None

    def _inner(self) -> str:
        return "".join(self._inside)

    def _keep_mention(self) -> None:
        """The open mark was only mentioned: says it by its name, and what followed it."""
        text, self._state = self._inner(), "said"
        self._inside.clear()
        self._say(self._opener.name)
        self._say(text)

    # --- Thinking -----------------------------------------------------------------------------------------------------

    def _think(self, text: str) -> None:
        judged = self._inside_chars > MENTION_CHARS and "`" not in self._quote
        self._inside.append(text)
        self._inside_chars += len(text)
        if judged or self._opener.kind != "think":
            return
        if "`" in self._quote and "`" not in text and self._inside_chars > MENTION_CHARS:
            return
        # Within code, the whole is searched at each backtick, up to a bound.
        inner = self._inner() if self._inside_chars <= 20 * MENTION_CHARS else text
        if self._mentions(inner, final=False):
            self._keep_mention()

    def _mark_in_thinking(self, mark: Mark) -> None:
        if mark.kind == "/think" or (mark.kind == "end" and self._opener.kind != "think"):
            inner = self._inner()
            between = inner.strip() and _BETWEEN_MENTIONS.fullmatch(inner)
            if mark.kind == "/think" and between and (self._doubtful or any(map(str.isalpha, inner))):
                self._keep_mention()
                self._say(f"closing {mark.name.strip('/')}")
            else:
                self._end_thinking()
        elif (
            mark.kind in ("header", "channel")
            or (mark.kind == "role" and mark.name not in _OTHERS)
            or (mark.kind == "/header" and mark.name.startswith(("begin", "start")))
        ):
            self._end_thinking()
            self._outside(mark)
        elif mark.kind == "think":
            at_start = not self._inside or _AT_START.search(self._inside[-1][-TAIL_CHARS:])
            self._nested += bool(at_start)
            self._inside.append(mark.name)
        else:
            self._inside.append(mark.raw if mark.kind in ("call", "/call", "part") else "")

    def _end_thinking(self) -> None:
        self.removed += max(1, sum(map(len, self._inside)))
        self._inside.clear()
        self._state = "said"
        if not self._doubtful:
            self._tail += "\n"
        if self._holding and not "".join(self._start).strip():
            self._holding = False  # marked thinking came first: what follows is the answer
        if self._nested:
            self._hold_again()

    def _hold_again(self) -> None:
        """After thinking within thinking: what follows may be thinking still, up to another mark that ends it."""
        if self._holding:
            self._release()
        self._holding, self._released, self._tagged, self._after_nested = True, False, False, True
        self._limit = float("inf")

    def _end_unclosed(self, cut: bool) -> None:
        inner = self._inner()
        self._state = "said"
        if not inner.strip():
            self.removed += len(inner)
            return
        likely = (
            self._opener.kind == "think" and not inner.startswith("\n") and not reads_as_thinking(inner) and not cut
        )
        if likely and (self._doubtful or self._mentions(inner, final=True)):
            self._keep_mention()
            return
        self.removed += len(inner)
        self.swallowed += len(inner)

    def _close_stray(self, mark: Mark) -> None:
        """An end of thinking that nothing began."""
        if self._code in (1, 2) or _NAMED_BEFORE.search(self._tail):
            self._say(f"closing {mark.name.strip('/')}" if not self._tail.rstrip().endswith("closing") else mark.name)
            return
        if (self._tagged and self._released) or (self._ended_by_stray and not self._holding):
            return  # an answer, and a mark too many
        if not self._after_nested and (self._released or "".join(self._start).strip()):
            self._habit.unmarked, self._habit.plain = True, False
        self.retracted = self.retracted or self._released
        self.removed += max(1, self._start_chars)
        self._drop_start()
        self._out.clear()
        self._holding, self._released, self._after_nested, self._ended_by_stray = False, False, False, True
        self._code = self._ticks = 0
        self._tail = ""

    # --- Headers ------------------------------------------------------------------------------------------------------

    def _begin_header(self, mark: Mark) -> None:
        self._state, self._header, self._channel_at = "header", "", -1
        if mark.kind == "channel":
            self._channel_at = 0

    def _read_header(self, text: str) -> None:
        line, newline, rest = text.partition("\n")
        self._header += line
        if newline and (self._header.strip() or self._channel_at >= 0):
            self._end_header()
            self._text(rest)
        elif newline:
            self._text(rest)
        elif len(self._header) > MAX_HEADER_CHARS:  # no name is that long
            text, self._state = self._header, "said"
            self._say(text)

    def _mark_in_header(self, mark: Mark) -> None:
        if mark.kind == "/header":
            self._end_header()
        elif mark.kind == "channel":
            self._header += " "
            self._channel_at = len(self._header)
        elif mark.kind in ("end", "header", "role", "think", "/think", "call"):
            self._end_header()
            self._mark(mark)

    def _bare_message(self) -> None:
        """ "analysis<|message|>" at the start of an answer, whose first marks the server has taken off."""
        if self._holding and "".join(self._start).strip().lower() in _THINKING_CHANNELS | {"final", "commentary"}:
            self._header, self._channel_at = "".join(self._start), 0
            self._drop_start()
            self._end_header()

    def _end_header(self) -> None:
        header = self._header.lower()
        role = re.match(r"\s*([a-z_]+)", header[: self._channel_at] if self._channel_at >= 0 else header)
        channel = re.match(r"\s*([a-z_]+)", header[self._channel_at :]) if self._channel_at >= 0 else None
        recipient = re.search(r"\bto=([\w.:-]+)", self._header)
        if role and role[1] in _OTHERS:
            self._state = "foreign"
        elif recipient and recipient[1] not in ("assistant", "user", "all"):
            self._open(Mark("call", "", ""))
            self._doubtful, self._quote, self._recipient = False, "", recipient[1]
        elif channel and channel[1] in _THINKING_CHANNELS:
            self._open(Mark("channel", channel[1], ""))
            self._doubtful, self._quote, self._state = False, "", "thinking"
        else:
            self._state = "said"

    # --- Calls --------------------------------------------------------------------------------------------------------

    def _collect(self, text: str) -> None:
        if self._inside_chars < MAX_CALL_CHARS:
            self._inside.append(text[: MAX_CALL_CHARS - self._inside_chars])
        self._inside_chars += len(text)
        if self._doubtful and self._inside_chars <= 2 * MENTION_CHARS and self._mentions(self._inner(), final=False):
            self._keep_mention()

    def _mark_in_call(self, mark: Mark) -> None:
        if mark.kind in ("header", "role", "channel", "end"):
            self._end_call()
            if mark.kind != "end":
                self._mark(mark)
        elif mark.kind == "/call" and (mark.name == self._opener.name or mark.raw.startswith(("<|", "<\uff5c", "["))):
            if mark.name in ("function", "invoke"):
                self._collect(mark.raw)
            self._end_call()
        elif mark.kind in ("call", "/call", "part") and not mark.raw.startswith(("<|", "<\uff5c", "[")):
            self._collect(mark.raw)
        elif mark.name == '"':
            self._collect('"')  # Gemma 4 writes quotation marks as a token
        else:
            self._collect("\x1f")  # parts the function's name from its arguments

    def _end_call(self) -> None:
        body, self._state = self._inner(), "said"
        self._inside.clear()
        if not re.search(r"[{(=\x1f]", body) and (self._doubtful or _SUBJECT.match(body)):
            self._inside.append(body)
            self._keep_mention()
        elif body.strip(" \n\x1f") or self._recipient:
            self.calls.append((self._recipient, body))
        self._recipient = ""
