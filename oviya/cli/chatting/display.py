"""What `oviya chat` shows: lines that stay and, on a terminal, what is going on below them."""

from __future__ import annotations

from rich.console import Group
from rich.live import Live
from rich.text import Text

from oviya.cli.event_line import Parts, event_line
from oviya.cli.explain import explained
from oviya.cli.output import Output, line
from oviya.client import (
    AudioChunk,
    ConverseEvent,
    FinalTranscript,
    Interrupted,
    PartialTranscript,
    ReplyEnded,
    ReplyPaused,
    ReplyResumed,
    Sentence,
    TurnDropped,
    TurnEnded,
    TurnFailed,
    UserFeeling,
    WordsSpoken,
)


class Display:
    """Shows a conversation: partials, words as they are spoken, what is typed.

    A sentence becomes a line that stays when it has been spoken.

    Args:
        output: where to print.
        live: whether the terminal can be redrawn.
        explain: whether the evidence for the user's emotion is shown.
    """

    def __init__(self, output: Output, *, live: bool, explain: bool) -> None:
        self._output = output
        self._explain = explain
        self._sentences: dict[int, Sentence] = {}  # of the reply that is spoken, by index
        self._spoken: dict[int, int] = {}  # characters of each
        self._shown: set[int] = set()  # indices of those whose line stays
        self.idle = ""
        """What the user can do now."""
        self._partial = self._typing = self._status = ""
        self._live = Live(console=output.console, auto_refresh=False, transient=True) if live else None

    def __enter__(self) -> Display:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def handle(self, event: ConverseEvent) -> None:
        """Shows an event."""
        match event:
            case AudioChunk():
                return
            case Sentence():
                self._sentences[event.index] = event
            case WordsSpoken():
                self._words_spoken(event)
            case ReplyEnded() | Interrupted() | TurnFailed():
                self._reply_over(event)
            case _:
                self._user(event)
        self.refresh()

    def typed(self, text: str) -> None:
        """Shows a line that was typed."""
        self._output.text(("you    ", "bold"), text)

    def typing(self, text: str) -> None:
        """Shows the line that is being typed."""
        self._typing = text
        self.refresh()

    def note(self, text: str) -> None:
        """Shows a remark of the program."""
        self._output.text((text, "dim"))

    def refresh(self) -> None:
        """Redraws what is below the lines that stay."""
        if self._live:
            self._live.update(Group(*self._below()), refresh=True)

    def _below(self) -> list[Text]:
        unshown = sorted(index for index in self._sentences if index not in self._shown)
        below = [line(*self._sentence(index)) for index in unshown[:1]]
        if self._partial:
            below.append(line(("you    ", "bold"), (self._partial, "dim")))
        below.append(line(("> ", "green"), self._typing) if self._typing else line((self._status or self.idle, "dim")))
        return below

    def _user(self, event: ConverseEvent) -> None:
        match event:
            case PartialTranscript():
                self._partial = event.text
            case FinalTranscript() | TurnDropped():
                self._partial = ""
            case TurnEnded():
                self._status = "thinking ..."
            case ReplyPaused():
                self._status = "paused"
            case ReplyResumed():
                self._status = ""
            case UserFeeling() if self._explain:
                for heading, text in explained(event):
                    self._output.text((f"  {heading:5}  ", "bold"), text)
            case _:
                pass
        if parts := event_line(event):
            self._output.text(*parts)

    def _words_spoken(self, event: WordsSpoken) -> None:
        self._status = ""
        self._spoken[event.index] = event.chars
        sentence = self._sentences.get(event.index)
        if sentence is not None and event.chars >= len(sentence.text):
            self._stay(up_to=event.index)

    def _reply_over(self, event: ReplyEnded | Interrupted | TurnFailed) -> None:
        if isinstance(event, ReplyEnded):
            self._stay(up_to=max(self._sentences, default=0), whole=True)
            if (first_audio_s := event.latency.first_audio_s) is not None:
                self.note(f"       {first_audio_s:.2f} s to the first sound")
        else:
            heard = [index for index in self._sentences if self._spoken.get(index, 0)]
            self._stay(up_to=max(heard, default=-1))
            if isinstance(event, Interrupted):  # the sentence above shows what was heard
                self._output.text("       ", ("\N{EM DASH} interrupted", "yellow"))
            elif parts := event_line(event):
                self._output.text(*parts)
        self._sentences, self._spoken, self._shown = {}, {}, set()
        self._status = ""

    def _stay(self, up_to: int, *, whole: bool = False) -> None:
        """Makes the sentences up to an index lines that stay; all of them but the last were spoken as a whole."""
        for index in sorted(self._sentences):
            if index <= up_to and index not in self._shown:
                self._shown.add(index)
                self._output.text(*self._sentence(index, whole=whole or index < up_to))

    def _sentence(self, index: int, *, whole: bool = False) -> Parts:
        """Returns a sentence, what was not spoken of it dim."""
        sentence = self._sentences[index]
        spoken = len(sentence.text) if whole else self._spoken.get(index, 0)
        text, rest = sentence.text[:spoken], sentence.text[spoken:]
        return ("oviya  ", "bold"), (f"[{sentence.plan.emotion}] ", "cyan"), text, (rest, "dim")
