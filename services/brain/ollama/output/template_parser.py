"""Removes what a chat template marks as not spoken: thinking, special tokens, text of other roles, tool calls."""

from __future__ import annotations

from typing import Literal

from services.brain.ollama.output.code_spans import CodeSpans
from services.brain.ollama.output.marked_block import CALL_SEPARATOR, MarkedBlock
from services.brain.ollama.output.mentions import TAIL_CHARS, can_begin_after, is_named_by, quote_after
from services.brain.ollama.output.start_buffer import StartBuffer
from services.brain.ollama.output.template_markers import Marker, MarkerScanner
from services.brain.ollama.output.thinking_profile import ThinkingProfile
from services.brain.ollama.output.turn_header import (
    ANSWER_CHANNELS,
    MAX_HEADER_CHARS,
    OTHER_ROLES,
    THINKING_CHANNELS,
    TurnHeader,
)

State = Literal["content", "thinking", "header", "other role", "call"]

_NO_MARKER = Marker("silent", "", "")


class TemplateParser:
    """Parses one answer.

    Thinking between markers is removed.  Thinking without an opening marker is removed once its closing marker is seen;
    the start of the answer is held back for as long as the profile requires.  A marker that a sentence only mentions is
    replaced by its name.

    Args:
        profile: what is known about the model; updated.  None: nothing is known.
    """

    def __init__(self, profile: ThinkingProfile | None = None) -> None:
        self._profile = profile or ThinkingProfile()
        self._scanner = MarkerScanner()
        self._state: State = "content"
        self._out: list[str] = []
        self._tail = ""  # the last characters of the content
        self._code = CodeSpans()
        self._start = StartBuffer(self._profile)
        self._block = MarkedBlock(_NO_MARKER)
        self._header = TurnHeader()
        self._ended_by_stray = False
        self.thinking_chars = 0
        """Characters of thinking that were removed."""
        self.unclosed_thinking_chars = 0
        """Those of them without a closing marker."""
        self.other_role_chars = 0
        """Characters that were removed because the model wrote them in another role."""
        self.retracted = False
        """The text returned so far was thinking and should not be spoken.  The caller resets it."""
        self.calls: list[tuple[str, str]] = []
        """Marked tool calls: the name in the header, which may be empty, and the text."""

    def push(self, text: str) -> str:
        """Adds text; returns the content that is complete."""
        for part in self._scanner.push(text):
            if isinstance(part, Marker):
                self._on_marker(part)
            else:
                self._on_text(part)
        return self._drain()

    def flush(self, *, cut: bool = False) -> str:
        """Ends the answer; returns the rest of the content.

        Args:
            cut: the answer ended because it reached its longest length.
        """
        if rest := self._scanner.flush():
            self._on_text(rest)
        if self._state == "thinking":
            self._end_unclosed(cut)
        elif self._state == "call":
            self._end_call()
        elif self._state == "header" and self._header.is_sentence():
            self._state = "content"
            self._add(self._header.text)
        if self._start.holding:
            self._out.append(self._start.end(cut=cut))
            self.thinking_chars += self._start.thinking_chars
            self.unclosed_thinking_chars += self._start.unclosed_chars
        elif not self._ended_by_stray and not self._profile.unmarked and self._start.released:
            self._profile.plain = True
        return self._drain()

    def _drain(self) -> str:
        content = "".join(self._out)
        self._out.clear()
        return content

    def _on_text(self, text: str) -> None:
        match self._state:
            case "content":
                self._add(text)
            case "thinking":
                if self._block.add_thinking(text):
                    self._keep_mention()
            case "call":
                self._add_to_call(text)
            case "other role":
                self.other_role_chars += len(text)
            case "header":
                self._add_to_header(text)

    def _add(self, text: str) -> None:
        if not text:
            return
        self._tail = (self._tail + text)[-TAIL_CHARS:]
        self._code.push(text)
        self._out.append(self._start.push(text))

    def _on_marker(self, marker: Marker) -> None:
        match self._state:
            case "content":
                self._marker_in_content(marker)
            case "thinking":
                self._marker_in_thinking(marker)
            case "call":
                self._marker_in_call(marker)
            case "header":
                self._marker_in_header(marker)
            case "other role":
                self._marker_in_other_role(marker)

    def _marker_in_content(self, marker: Marker) -> None:
        self._code.end_run()
        if marker.kind in ("think", "call"):
            self._open(marker)
        elif marker.kind == "/think":
            self._close_stray(marker)
        elif marker.kind == "inst" and not marker.closes:
            if can_begin_after(self._tail):
                self._state, self._block = "other role", MarkedBlock(marker)
        elif marker.kind == "role":
            if not marker.closes and marker.name in OTHER_ROLES and can_begin_after(self._tail):
                self._state = "other role"
        elif marker.kind in ("header", "channel"):
            self._state, self._header = "header", TurnHeader(is_channel=marker.kind == "channel")
        elif marker.kind == "/header" and marker.name == "message":
            self._on_bare_message()
        elif marker.kind in ("end", "silent") and self._code.is_inline:
            self._add(marker.name.replace("_", " "))  # `<|im_end|>` in a sentence about it
        elif marker.kind == "end" and self._tail[-1:].isalnum():
            self._add("\n")  # the turn ends here: the next word must not join the last one

    def _marker_in_other_role(self, marker: Marker) -> None:
        if marker.kind in ("header", "role", "channel"):
            self._state = "content"
            self._marker_in_content(marker)
        elif marker.kind == "end" or (
            marker.kind == "inst" and marker.closes and marker.name == self._block.opener.name
        ):
            self._state = "content"

    def _open(self, marker: Marker) -> None:
        quote = "`" * self._code.ticks or quote_after(self._tail)
        self._block = MarkedBlock(marker, doubtful=bool(quote) or not can_begin_after(self._tail), quote=quote)
        self._state = "thinking" if marker.kind == "think" else "call"
        if marker.kind == "call" and marker.name in ("function", "invoke", "tool_use", "use_tool"):
            self._block.add(marker.raw)

    def _keep_mention(self) -> None:
        """Replaces the opening marker, which was only mentioned, by its name and keeps the text after it."""
        self._state = "content"
        self._add(self._block.opener.name)
        self._add(self._block.text)

    def _marker_in_thinking(self, marker: Marker) -> None:
        block = self._block
        if marker.kind == "/think" or (marker.kind == "end" and block.opener.kind != "think"):
            if marker.kind == "/think" and block.joins_mentions():
                self._keep_mention()
                self._add(f"closing {marker.name.strip('/')}")
            else:
                self._end_thinking()
        elif (
            marker.kind in ("header", "channel")
            or (marker.kind == "role" and marker.name not in OTHER_ROLES)
            or (marker.kind == "/header" and marker.name.startswith(("begin", "start")))
        ):
            self._end_thinking()
            self._marker_in_content(marker)
        elif marker.kind == "think":
            block.nested += can_begin_after(block.last[-TAIL_CHARS:])
            block.add(marker.name)
        else:
            block.add(marker.raw if marker.kind in ("call", "/call", "part") else "")

    def _end_thinking(self) -> None:
        block, self._state = self._block, "content"
        self.thinking_chars += max(1, len(block.text))
        if not block.doubtful:
            self._tail += "\n"
        if self._start.holding and not self._start.text.strip():
            self._out.append(self._start.release())  # marked thinking came first: the answer follows
        if block.nested:  # what follows may still be thinking, up to another closing marker
            self._out.append(self._start.restart())

    def _end_unclosed(self, cut: bool) -> None:
        block, self._state = self._block, "content"
        if not cut and block.is_unclosed_mention():
            self._keep_mention()
            return
        self.thinking_chars += len(block.text)
        if block.text.strip():
            self.unclosed_thinking_chars += len(block.text)

    def _close_stray(self, marker: Marker) -> None:
        """Handles a closing marker of thinking without an opening one."""
        start = self._start
        if self._code.is_inline or is_named_by(self._tail):
            name = marker.name
            self._add(name if self._tail.rstrip().endswith("closing") else f"closing {name.strip('/')}")
            return
        if (start.tagged and start.released) or (self._ended_by_stray and not start.holding):
            return  # a surplus marker in an answer
        if not start.after_nested and (start.released or start.text.strip()):
            self._profile.unmarked, self._profile.plain = True, False
        self.retracted = self.retracted or start.released
        self.thinking_chars += max(1, len(start.text))
        start.begin_answer()
        self._out.clear()
        self._ended_by_stray = True
        self._code.reset()
        self._tail = ""

    def _add_to_header(self, text: str) -> None:
        header = self._header
        if not header.text and not header.has_channel:
            text = text.lstrip()
        line, newline, rest = text.partition("\n")
        header.text += line
        if newline and not header.has_channel and not header.is_role_only():
            self._state = "content"  # a sentence about the marker, or an unknown header
            self._add(f"{header.text}\n{rest}")
        elif newline:
            self._end_header()
            self._on_text(rest)
        elif len(header.text) > MAX_HEADER_CHARS:
            self._state = "content"
            self._add(header.text)

    def _marker_in_header(self, marker: Marker) -> None:
        if marker.kind == "/header":
            self._end_header()
        elif marker.kind == "channel":
            self._header.begin_channel()
        elif marker.kind in ("end", "header", "role", "think", "/think", "call"):
            self._end_header()
            self._on_marker(marker)

    def _on_bare_message(self) -> None:
        """Handles "analysis<|message|>" at the start of an answer whose first markers the server removed."""
        name = self._start.text.strip().lower()
        if self._start.holding and name in THINKING_CHANNELS | ANSWER_CHANNELS:
            self._header = TurnHeader(name, is_channel=True)
            self._start.drop()
            self._end_header()

    def _end_header(self) -> None:
        header = self._header
        if header.role in OTHER_ROLES:
            self._state = "other role"
        elif header.tool:
            self._state, self._block = "call", MarkedBlock(Marker("call", "", ""), tool=header.tool)
        elif header.channel in THINKING_CHANNELS:
            self._state, self._block = "thinking", MarkedBlock(Marker("channel", header.channel, ""))
        else:
            self._state = "content"

    def _add_to_call(self, text: str) -> None:
        if self._block.add_call(text):
            self._keep_mention()

    def _marker_in_call(self, marker: Marker) -> None:
        if marker.kind in ("header", "role", "channel", "end"):
            self._end_call()
            if marker.kind != "end":
                self._on_marker(marker)
        elif marker.kind == "/call" and (marker.name == self._block.opener.name or marker.is_token):
            if marker.name in ("function", "invoke"):
                self._add_to_call(marker.raw)
            if self._state == "call":
                self._end_call()
        elif marker.kind in ("call", "/call", "part") and not marker.is_token:
            self._add_to_call(marker.raw)
        else:  # Gemma 4 writes quotation marks as a token
            self._add_to_call('"' if marker.name == '"' else CALL_SEPARATOR)

    def _end_call(self) -> None:
        block, self._state = self._block, "content"
        if block.is_call_mention():
            self._keep_mention()
        elif block.text.strip(f" \n{CALL_SEPARATOR}") or block.tool:
            self.calls.append((block.tool, block.text))
