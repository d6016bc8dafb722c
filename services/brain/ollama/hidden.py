"""Takes out of a stream what is not for ears: thinking, and blocks of code."""

from __future__ import annotations

import re

_OPEN = re.compile(r"<(think|thinking|thought|reasoning)>", re.IGNORECASE)
_CLOSE = re.compile(r"</(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_LONGEST_TAG = len("</reasoning>")
_TAG_START = re.compile(r"</?(?:[a-z]{0,9})$", re.IGNORECASE)

_FENCE = re.compile(r"\s{0,3}(?:```|~~~)\s*([\w+#-]*)\s*$")
_FENCE_START = re.compile(r"\s{0,3}(?:`{1,3}|~{1,3})[\w+#-]*\s*$|\s{0,3}$")
_PROSE = frozenset({"text", "txt", "plaintext", "markdown", "md"})
_CODE_LINE = re.compile(r"[{};=<>]|\w\(|^\s{2,}\S|^\s*(?:#|//)|^\$ ")
MAX_FENCE_CHARS = 24


class Thinking:
    """Removes <think>...</think>: models write it into their answer where the server does not set it apart."""

    def __init__(self) -> None:
        self._held = ""  # what may be the start of a tag
        self._inside = False
        self.removed = 0
        """Characters of thinking that were removed."""

    def push(self, text: str) -> str:
        """Takes the next text; returns what of it is to be said."""
        rest, said = self._held + text, ""
        self._held = ""
        while rest:
            tag = (_CLOSE if self._inside else _OPEN).search(rest)
            if tag is None:
                keep = self._held_back(rest)
                self._held, rest = rest[len(rest) - keep :], rest[: len(rest) - keep]
                if self._inside:
                    self.removed += len(rest)
                else:
                    said += _CLOSE.sub("", rest)
                break
            if self._inside:
                self.removed += tag.start()
            else:
                said += _CLOSE.sub("", rest[: tag.start()])
            self._inside = not self._inside
            rest = rest[tag.end() :]
        return said

    def flush(self) -> str:
        """Ends the stream; returns what looked like the start of a tag and was none."""
        said, self._held = "" if self._inside else self._held, ""
        return said

    @staticmethod
    def _held_back(text: str) -> int:
        start = text.rfind("<", max(0, len(text) - _LONGEST_TAG))
        return len(text) - start if start >= 0 and _TAG_START.match(text, start) else 0


class CodeBlocks:
    """Replaces fenced code by one sentence that says so; prose that a model has put between fences stays."""

    def __init__(self) -> None:
        self._line = ""  # the line so far, where it may still be a fence or code
        self._at_line_start = True
        self._fence: str | None = None  # language of the open block; None: none is open
        self._told = False

    def push(self, text: str) -> str:
        """Takes the next text; returns what of it is to be said."""
        said = ""
        for part in re.split(r"(?<=\n)", text):
            said += self._push_part(part)
        return said

    def flush(self) -> str:
        """Ends the stream; returns what was held back."""
        line, self._line = self._line, ""
        return self._end_line(line) if line else ""

    def _push_part(self, part: str) -> str:
        if not part:
            return ""
        complete = part.endswith("\n")
        self._line += part
        may_be_fence = self._at_line_start and len(self._line) <= MAX_FENCE_CHARS and _FENCE_START.match(self._line)
        if not complete and (self._fence is not None or may_be_fence):
            if self._fence is not None and len(self._line) > 2 * MAX_FENCE_CHARS and self._is_code(self._line):
                self._line = self._line[:MAX_FENCE_CHARS]  # an endless line of code: its start says all that is needed
            return ""
        line, self._line = self._line, ""
        at_start, self._at_line_start = self._at_line_start, complete
        return self._end_line(line) if at_start else line

    def _end_line(self, line: str) -> str:
        fence = _FENCE.match(line.rstrip("\n"))
        if fence:
            if self._fence is None:
                self._fence, self._told = fence[1].lower(), False
            else:
                self._fence = None
            return "\n"
        if self._fence is None or not self._is_code(line):
            return line
        if self._told:
            return ""
        self._told = True
        language = f"{self._fence} " if self._fence.isalpha() else ""
        return f"There is some {language}code here, which I will not read out.\n"

    def _is_code(self, line: str) -> bool:
        return self._fence not in _PROSE and bool(self._fence or _CODE_LINE.search(line)) and bool(line.strip())
