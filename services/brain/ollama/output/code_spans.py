"""Follows Markdown code spans in a stream."""

from __future__ import annotations

MIN_FENCE_TICKS = 3


class CodeSpans:
    """Knows whether the end of a text is inside a code span or a fenced block."""

    def __init__(self) -> None:
        self.ticks = 0
        """Length of the run of backticks that opened the code; 0: the text is not inside code."""
        self._run = 0  # backticks at the end of the text

    @property
    def is_inline(self) -> bool:
        """Whether the text ends inside an inline code span."""
        return 0 < self.ticks < MIN_FENCE_TICKS

    def push(self, text: str) -> None:
        """Adds text.  An inline span ends with its line."""
        if "`" not in text and not self._run and not self.ticks:
            return
        for char in text:
            if char == "`":
                self._run += 1
                continue
            self.end_run()
            if char == "\n" and self.ticks < MIN_FENCE_TICKS:
                self.ticks = 0

    def end_run(self) -> None:
        """Ends the run of backticks at the end of the text, if there is one."""
        run, self._run = self._run, 0
        if run:
            self.ticks = run if self.ticks == 0 else 0 if run >= self.ticks else self.ticks

    def reset(self) -> None:
        """Starts again outside code."""
        self.ticks = self._run = 0
