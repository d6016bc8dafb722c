"""What a terminal shows while a reply is spoken."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from oviya.cli.chatting.display import Display
from oviya.cli.output import Output
from oviya.client import (
    FinalTranscript,
    Interrupted,
    Latency,
    PartialTranscript,
    ReplyEnded,
    ReplyPaused,
    ReplyResumed,
    Sentence,
    TurnDropped,
    WordsSpoken,
)
from oviya.emotions.values import ProsodyPlan

PLAN = ProsodyPlan("calm", "", "", 1.0, 1.0, 1.0, 1.0)
FIRST, SECOND = (Sentence(0, index, text, PLAN, "csm") for index, text in enumerate(("So it goes.", "Poo-tee-weet?")))


class Screen:
    """A display, and what it has written since the last look, without colours."""

    def __init__(self, *, live: bool):
        self._written = io.StringIO()
        output = Output(as_json=False)
        output.console = Console(file=self._written, force_terminal=live, width=100, highlight=False, soft_wrap=True)
        self.display = Display(output, live=live, explain=False)

    def look(self) -> str:
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self._written.getvalue())
        self._written.truncate(self._written.seek(0))
        return text


@pytest.fixture
def lines() -> Screen:
    return Screen(live=False)


def test_a_sentence_is_a_line_when_it_has_been_spoken(lines):
    for event in (FIRST, WordsSpoken(0, 0, 5), SECOND):
        lines.display.handle(event)
        assert lines.look() == ""
    lines.display.handle(WordsSpoken(0, 0, 11))
    assert lines.look() == "oviya  [calm] So it goes.\n"
    lines.display.handle(ReplyEnded(0, 1.0, Latency(first_audio_s=0.5)))
    assert lines.look() == "oviya  [calm] Poo-tee-weet?\n       0.50 s to the first sound\n"


def test_an_interrupted_reply_shows_the_sentence_that_was_cut_and_none_that_was_not_heard(lines):
    for event in (FIRST, SECOND, WordsSpoken(0, 0, 5), Interrupted(0, "speech", "So it", "goes. Poo-tee-weet?", 0.4)):
        lines.display.handle(event)
    assert lines.look() == "oviya  [calm] So it goes.\n       \N{EM DASH} interrupted\n"


def test_a_resumed_reply_shows_each_sentence_once(lines):
    for event in (FIRST, WordsSpoken(0, 0, 11), SECOND, WordsSpoken(0, 1, 4), ReplyPaused(0, 1.2)):
        lines.display.handle(event)
    lines.display.handle(TurnDropped(1, "backchannel", "mm-hm"))
    for event in (ReplyResumed(0, 1.0), SECOND, WordsSpoken(0, 1, 13), ReplyEnded(0, 2.0, Latency())):
        lines.display.handle(event)
    shown = lines.look()
    assert shown.count("So it goes.") == shown.count("Poo-tee-weet?") == 1
    assert "mm-hm  (not answered: a sign of listening)" in shown


def test_a_terminal_shows_what_is_going_on():
    screen = Screen(live=True)
    with screen.display as display:
        display.idle = "listening"
        display.refresh()
        assert "listening" in screen.look()
        display.handle(PartialTranscript(0, "Hello the"))
        assert "you    Hello the" in screen.look()
        display.handle(FinalTranscript(0, "Hello there.", ()))
        screen.look()
        display.typing("By the w\x1b")
        assert "> By the w\\x1b" in screen.look()
        display.typing("")
        display.handle(FIRST)
        assert "oviya  [calm] So it goes." in screen.look()
        display.handle(ReplyPaused(0, 0.4))
        assert "paused" in screen.look()
        display.handle(Interrupted(0, "speech", "", "", 0.0))
        after = screen.look()
        assert "interrupted" in after
        assert after.rstrip().endswith("listening")  # nothing of the reply is left below the lines that stay
