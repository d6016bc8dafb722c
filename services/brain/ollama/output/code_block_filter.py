"""Replaces code blocks in a stream by one sentence."""

from __future__ import annotations

import re

_FENCE = re.compile(r"\s{0,3}(?:```|~~~)[ \t]*([\w+#-]*)$")
_FENCE_START = re.compile(r"\s{0,3}(?:`{1,3}|~{1,3})[\w+#-]*\s*$|\s{0,3}$")
_PROSE = frozenset({"text", "txt", "plaintext", "markdown", "md"})
_CODE_SIGN = re.compile(r"[{};=<>]|\w\(")
_CODE_START = re.compile(r"\A(?:\s{2,}+\S|\s*+(?:#|//)|\$ )")
MAX_FENCE_CHARS = 24
HEAD_CHARS = 64
"""Characters of a line that show whether it begins like code."""


class CodeBlockFilter:
    """Replaces the code between fences by one sentence that announces it; prose between fences stays."""

    def __init__(self) -> None:
        self._line: list[str] = []  # the line so far, while it may be a fence or code
        self._head = ""  # its first characters
        self._last = ""  # its last character
        self._has_code_sign = False
        self._at_line_start = True
        self._fence: str | None = None  # language of the open block; None: no block is open
        self._announced = False

    def push(self, text: str) -> str:
        """Adds text; returns what is to be spoken."""
        return "".join(map(self._push_part, re.split(r"(?<=\n)", text)))

    def flush(self) -> str:
        """Ends the stream; returns what was held back."""
        return self._end_line(*self._pop_line()) if self._line else ""

    def _push_part(self, part: str) -> str:
        if not part:
            return ""
        complete = part.endswith("\n")
        self._hold(part)
        short = len(self._head) <= MAX_FENCE_CHARS
        may_be_fence = self._at_line_start and short and _FENCE_START.match(self._head)
        if not complete and (self._fence is not None or may_be_fence):
            return ""
        at_start, self._at_line_start = self._at_line_start, complete
        line, has_sign = self._pop_line()
        return self._end_line(line, has_sign) if at_start else line

    def _hold(self, part: str) -> None:
        """Adds to the line.  Once a line is known to be code, the rest of it is dropped."""
        self._has_code_sign = self._has_code_sign or _CODE_SIGN.search(self._last + part) is not None
        if self._fence is None or len(self._head) < HEAD_CHARS or not self._is_code(self._head, self._has_code_sign):
            self._line.append(part)
        self._head += part[: max(0, HEAD_CHARS - len(self._head))]
        self._last = part[-1]

    def _pop_line(self) -> tuple[str, bool]:
        """Removes the line; returns it and whether it contains a sign of code."""
        line, has_sign = "".join(self._line), self._has_code_sign
        self._line, self._head, self._last, self._has_code_sign = [], "", "", False
        return line, has_sign

    def _end_line(self, line: str, has_sign: bool) -> str:
        fence = _FENCE.match(line.rstrip()) if line.lstrip().startswith(("```", "~~~")) else None
        if fence:
            if self._fence is None:
                self._fence, self._announced = fence[1].lower(), False
            else:
                self._fence = None
            return "\n"
        if self._fence is None or not self._is_code(line, has_sign):
            return line
        if self._announced:
            return ""
        self._announced = True
        language = f"{self._fence} " if self._fence.isalpha() else ""
        return f"There is some {language}code here, which I will not read out.\n"

    def _is_code(self, line: str, has_sign: bool) -> bool:
        if self._fence in _PROSE or not line.strip():
            return False
        return bool(self._fence) or has_sign or _CODE_START.match(line) is not None
