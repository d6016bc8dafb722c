"""Takes out of a stream what is not for ears: thinking, special tokens, other speakers' words, marked tool calls."""

from __future__ import annotations

import re
from typing import Literal

from services.brain.ollama.output.mentions import (
    MENTION_CHARS,
    TAIL_CHARS,
    begins_after,
    is_mentioned,
    is_subject,
    joins_mentions,
    names_after,
    quote_after,
)
from services.brain.ollama.output.start_buffer import StartBuffer
from services.brain.ollama.output.template_markers import Marker, MarkerScanner
from services.brain.ollama.output.thinking_profile import ThinkingProfile, reads_as_thinking

State = Literal["said", "thinking", "header", "foreign", "call"]

MAX_CALL_CHARS = 16_384
"""Longest tool call; what follows is dropped."""
MAX_HEADER_CHARS = 120
"""Longest name of a speaker or channel; what is longer is no name."""
MAX_HEADER_WORDS = 3
_THINKING_CHANNELS = frozenset({"analysis", "thought", "thoughts", "thinking", "think", "reasoning"})
_OTHERS = frozenset({
    "user", "human", "system", "developer", "tool", "ipython", "observation", "environment", "function", "functions",
})  # fmt: skip
_ROLES = _OTHERS | {"assistant", "model", "bot", "chatbot"}


class TemplateParser:
    """One answer.

    Thinking between marks is removed.  So is thinking that no mark begins, once its end is seen: the start of an answer
    is held back as long as the profile of the model asks for it.  A mark that a sentence only mentions stays as its name.

    Args:
        profile: what is known of the model; it is kept up to date.  None: nothing is known.
    """

    def __init__(self, profile: ThinkingProfile | None = None) -> None:
        self._profile = profile or ThinkingProfile()
        self._scanner = MarkerScanner()
        self._state: State = "said"
        self._out: list[str] = []
        self._tail = ""  # the last characters that were to be said
        self._code = 0  # length of the run of backticks that opened code; 0: none is open
        self._ticks = 0  # backticks that the text ends with
        self._start = StartBuffer(self._profile)
        # --- within a mark
        self._inside: list[str] = []
        self._inside_chars = 0
        self._opener = Marker("silent", "", "")
        self._doubtful = False  # the mark may only be mentioned
        self._quote = ""
        self._nested = 0
        self._header = ""
        self._channel_at = -1
        self._recipient = ""
        self._ended_by_stray = False
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
            if isinstance(part, Marker):
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
        if self._start.holding:
            self._out.append(self._start.end(cut=cut))
            self.removed += self._start.removed
            self.swallowed += self._start.swallowed
        elif not self._ended_by_stray and not self._profile.unmarked and self._start.released:
            self._profile.plain = True
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
        self._out.append(self._start.push(text))

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

    def _mark(self, mark: Marker) -> None:
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

    def _outside(self, mark: Marker) -> None:
        """A mark among what is said."""
        if self._ticks:
            self._end_ticks()
        if mark.kind in ("think", "call"):
            self._open(mark)
        elif mark.kind == "/think":
            self._close_stray(mark)
        elif mark.kind == "inst" and not mark.closes:
            if begins_after(self._tail):
                self._state, self._opener = "foreign", mark
        elif mark.kind == "role":
            if not mark.closes and mark.name in _OTHERS and begins_after(self._tail):
                self._state = "foreign"
        elif mark.kind in ("header", "channel"):
            self._begin_header(mark)
        elif mark.kind == "/header" and mark.name == "message":
            self._bare_message()
        elif mark.kind in ("end", "silent") and self._code in (1, 2):
            self._say(mark.name.replace("_", " "))  # `<|im_end|>` in a sentence about it
        elif mark.kind == "end" and self._tail[-1:].isalnum():
            self._say("\n")  # a turn ends here: what follows must not run into the word before

    def _open(self, mark: Marker) -> None:
        self._quote = "`" * self._code or quote_after(self._tail)
        self._doubtful = bool(self._quote) or not begins_after(self._tail)
        self._opener, self._nested = mark, 0
        self._inside.clear()
        self._inside_chars = 0
        self._recipient = ""
        self._state = "thinking" if mark.kind == "think" else "call"
        if mark.kind == "call" and mark.name in ("function", "invoke", "tool_use", "use_tool"):
            self._inside.append(mark.raw)

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
        if is_mentioned(inner, self._quote, final=False):
            self._keep_mention()

    def _mark_in_thinking(self, mark: Marker) -> None:
        if mark.kind == "/think" or (mark.kind == "end" and self._opener.kind != "think"):
            inner = self._inner()
            if mark.kind == "/think" and joins_mentions(inner, doubtful=self._doubtful):
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
            at_start = not self._inside or begins_after(self._inside[-1][-TAIL_CHARS:])
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
        if self._start.holding and not self._start.text.strip():
            self._out.append(self._start.release())  # marked thinking came first: what follows is the answer
        if self._nested:  # what follows may be thinking still, up to another mark that ends it
            self._out.append(self._start.begin_again())

    def _end_unclosed(self, cut: bool) -> None:
        inner = self._inner()
        self._state = "said"
        if not inner.strip():
            self.removed += len(inner)
            return
        likely = (
            self._opener.kind == "think" and not inner.startswith("\n") and not reads_as_thinking(inner) and not cut
        )
        if likely and (self._doubtful or is_mentioned(inner, self._quote, final=True)):
            self._keep_mention()
            return
        self.removed += len(inner)
        self.swallowed += len(inner)

    def _close_stray(self, mark: Marker) -> None:
        """An end of thinking that nothing began."""
        start = self._start
        if self._code in (1, 2) or names_after(self._tail):
            self._say(f"closing {mark.name.strip('/')}" if not self._tail.rstrip().endswith("closing") else mark.name)
            return
        if (start.tagged and start.released) or (self._ended_by_stray and not start.holding):
            return  # an answer, and a mark too many
        if not start.after_nested and (start.released or start.text.strip()):
            self._profile.unmarked, self._profile.plain = True, False
        self.retracted = self.retracted or start.released
        self.removed += max(1, len(start.text))
        start.answer_begins()
        self._out.clear()
        self._ended_by_stray = True
        self._code = self._ticks = 0
        self._tail = ""

    # --- Headers ------------------------------------------------------------------------------------------------------

    def _begin_header(self, mark: Marker) -> None:
        self._state, self._header, self._channel_at = "header", "", -1
        if mark.kind == "channel":
            self._channel_at = 0

    def _read_header(self, text: str) -> None:
        if not self._header and self._channel_at < 0:
            text = text.lstrip()
        line, newline, rest = text.partition("\n")
        self._header += line
        if newline and self._channel_at < 0 and not _is_role(self._header):
            text, self._state = f"{self._header}\n", "said"  # a sentence about the mark, or what nobody can tell
            self._say(text + rest)
        elif newline:
            self._end_header()
            self._text(rest)
        elif len(self._header) > MAX_HEADER_CHARS:  # no name is that long
            text, self._state = self._header, "said"
            self._say(text)

    def _mark_in_header(self, mark: Marker) -> None:
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
        start = self._start
        header = start.text.strip().lower()
        if start.holding and header in _THINKING_CHANNELS | {"final", "commentary", "assistant"}:
            self._header, self._channel_at = header, 0
            start.drop()
            self._end_header()

    def _end_header(self) -> None:
        header = self._header.lower()
        role = re.match(r"\s*+([a-z_]++)", header[: self._channel_at] if self._channel_at >= 0 else header)
        channel = re.match(r"\s*+([a-z_]++)", header[self._channel_at :]) if self._channel_at >= 0 else None
        recipient = re.search(r"\bto=([\w.:-]+)", self._header)
        if role and role[1] in _OTHERS:
            self._state = "foreign"
        elif recipient and recipient[1] not in ("assistant", "user", "all"):
            self._open(Marker("call", "", ""))
            self._doubtful, self._quote, self._recipient = False, "", recipient[1]
        elif channel and channel[1] in _THINKING_CHANNELS:
            self._open(Marker("channel", channel[1], ""))
            self._doubtful, self._quote, self._state = False, "", "thinking"
        else:
            self._state = "said"

    # --- Calls --------------------------------------------------------------------------------------------------------

    def _collect(self, text: str) -> None:
        if self._inside_chars < MAX_CALL_CHARS:
            self._inside.append(text[: MAX_CALL_CHARS - self._inside_chars])
        self._inside_chars += len(text)
        if (
            self._doubtful
            and self._inside_chars <= 2 * MENTION_CHARS
            and is_mentioned(self._inner(), self._quote, final=False)
        ):
            self._keep_mention()

    def _mark_in_call(self, mark: Marker) -> None:
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
        if not re.search(r"[{(=\x1f]", body) and (self._doubtful or is_subject(body)):
            self._inside.append(body)
            self._keep_mention()
        elif body.strip(" \n\x1f") or self._recipient:
            self.calls.append((self._recipient, body))
        self._recipient = ""


def _is_role(header: str) -> bool:
    """Says whether a header names nothing but who speaks, and to whom."""
    role, *rest = header.lower().split()
    return role in _ROLES and all(word.startswith("to=") for word in rest)
