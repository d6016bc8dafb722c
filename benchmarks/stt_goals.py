"""The figures of speech-to-text and their goals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

UNITS = {"%": 100.0, "ms": 1000.0, "MiB": 1 / (1 << 20), "": 1.0}


@dataclass(frozen=True)
class Goal:
    """One figure of the table.

    Attributes:
        section: the part of the benchmark that measures it.
        title: what it is.
        unit: the unit of the table and of the goals.
        at_least: what must be reached.
        aim: what is aimed at.
        more_is_better: whether a larger figure is the better one.
    """

    COLUMNS: ClassVar = ("figure", "measured", "at least", "aim", "reached")

    section: str
    title: str
    unit: str
    at_least: float
    aim: float
    more_is_better: bool = False

    def row(self, measured: float | None) -> tuple[str, ...]:
        """Returns the cells of `measured`, in the base unit (1, s or bytes); None: not measured."""
        goals = (self._cell(self.at_least), self._cell(self.aim))
        if measured is None:
            return self.title, "not measured", *goals, ""
        value = measured * UNITS[self.unit]
        reached = "aim" if self._reaches(value, self.aim) else "yes" if self._reaches(value, self.at_least) else "NO"
        return self.title, self._cell(value, ".1f" if self.unit == "%" else ".0f"), *goals, reached

    def _reaches(self, value: float, goal: float) -> bool:
        return value >= goal if self.more_is_better else value <= goal

    def _cell(self, value: float, form: str = "g") -> str:
        return f"{value:{form}} {self.unit}".strip()


GOALS = {
    "human": Goal("accuracy", "word error rate, human", "%", 8, 5),
    "flite slt": Goal("accuracy", "  flite slt", "%", 6, 4),
    "flite rms": Goal("accuracy", "  flite rms", "%", 6, 4),
    "flite awb": Goal("accuracy", "  flite awb", "%", 6, 4),
    "human 20 dB": Goal("noise", "  human in white noise, 20 dB", "%", 12, 8),
    "human 10 dB": Goal("noise", "  human in white noise, 10 dB", "%", 25, 15),
    "human telephone": Goal("noise", "  human at 8 kHz", "%", 12, 8),
    "final p50": Goal("latency", "end of speech to final transcript, p50", "ms", 450, 350),
    "final p95": Goal("latency", "  p95", "ms", 700, 500),
    "whole final p50": Goal("latency", "  whole sentences, p50", "ms", 450, 350),
    "whole final p95": Goal("latency", "  whole sentences, p95", "ms", 700, 500),
    "first partial": Goal("latency", "start of speech to first partial, p50", "ms", 900, 600),
    "taken back": Goal("latency", "words of partials taken back", "", 0, 0),
    "cut off human": Goal("turns", "cut off in pauses of 700 ms, human", "%", 8, 3),
    "cut off flite": Goal("turns", "  flite", "%", 8, 3),
    "end of turn human": Goal("turns", "end of speech to end of turn, p50, human", "ms", 450, 400),
    "end of turn flite": Goal("turns", "  flite", "ms", 450, 400),
    "invented silence": Goal("invented", "words in 10 minutes of silence", "", 0, 0),
    "invented noise": Goal("invented", "  of noise", "", 0, 0),
    "invented music": Goal("invented", "  of music", "", 0, 0),
    "invented clicks": Goal("invented", "  of keyboard clicks", "", 0, 0),
    "speakers": Goal("speakers", "speakers at once, p95 of finals under 1 s", "", 3, 5, more_is_better=True),
    "memory": Goal("memory", "memory (PSS)", "MiB", 400, 300),
}
