"""From a model's tokens to sentences: thinking and code out, cut early, emotion read, written text said."""

from __future__ import annotations

from oviya.text.segmenter import Piece, Segmenter
from oviya.text.sentences import Narrator, Said
from services.brain.backend import Sentence, Tone
from services.brain.metrics import EMOTION_TAGS, THINKING
from services.brain.ollama.hidden import CodeBlocks, Thinking
from services.brain.ollama.tags import Tagged, read_tags
from services.brain.ollama.tones import Tones


class Speech:
    """One reply.

    Args:
        tones: the emotions of sentences whose emotion is not given.
        user_emotion: what the user feels; empty: unknown.
        tone: which tone to answer in; None: by what the user feels.
        max_chars: longest sentence.
        first_clause_chars: length from which the first clause leaves alone; 0: never.
    """

    def __init__(
        self, tones: Tones, user_emotion: str, tone: Tone | None = None, *, max_chars: int, first_clause_chars: int
    ) -> None:
        self._tones = tones
        self._user_emotion, self._tone = user_emotion, tone
        self._limits = {"max_chars": max_chars, "first_clause_chars": first_clause_chars}
        self._emotion = ""  # of the sentence before
        self._given = ""  # by a tag that stands alone, for the sentence after it
        self._begin()

    def push(self, text: str) -> list[Sentence]:
        """Takes the next tokens; returns the sentences that they complete."""
        return self._said(self._segmenter.push(self._code.push(self._thinking.push(text))))

    def flush(self) -> list[Sentence]:
        """Ends an answer; returns what is left of it.  Another may follow, as after a tool's call."""
        rest = self._code.push(self._thinking.flush()) + self._code.flush()
        sentences = self._said([*self._segmenter.push(rest), *self._segmenter.flush()])
        if said := self._narrator.finish():
            sentences.append(self._sentence(said, starts=True, tagged=False))
        if self._thinking.removed:
            THINKING.inc()
        self._begin()
        return sentences

    def _begin(self) -> None:
        self._thinking, self._code, self._segmenter = Thinking(), CodeBlocks(), Segmenter(**self._limits)
        self._narrator = Narrator()

    def _said(self, pieces: list[Piece]) -> list[Sentence]:
        return [
            sentence
            for piece in pieces
            for tagged in read_tags(piece.text)
            if (sentence := self._tagged(tagged, starts=piece.starts)) is not None
        ]

    def _tagged(self, tagged: Tagged, *, starts: bool) -> Sentence | None:
        if tagged.kind != "missing":
            EMOTION_TAGS.labels(tagged.kind).inc()
            self._given = tagged.emotion
        said = self._narrator.add(tagged.text)
        return self._sentence(said, starts=starts, tagged=tagged.kind != "missing") if said else None

    def _sentence(self, said: Said, *, starts: bool, tagged: bool) -> Sentence:
        if not tagged and not self._given and starts:
            EMOTION_TAGS.labels("missing").inc()
        # A sentence without an emotion goes on in that of the one before; the first one answers the user's feeling.
        emotion = self._given or self._emotion or self._tones.default(said.text, self._user_emotion, self._tone)
        self._emotion, self._given = emotion, ""
        return Sentence(said.text, emotion, spoken=said.spoken)
