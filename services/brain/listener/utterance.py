"""Normalizes typed text and transcripts, so that patterns can match them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.brain.listener.phrases import Phrases

MAX_SEGMENT_WORDS = 60
"""Transcripts may have no full stops; longer segments are cut, to bound the search of patterns."""

_INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufeff\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]")
_QUOTES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'", "`": "'"})
_TITLE_DOT = re.compile(r"\b(mr|mrs|ms|dr|prof|st)\.")
_BREAK = re.compile(r"(?:(?<!\d)[.]|[.](?!\d)|[?!;\n\u2026])+|\s[-\u2013\u2014]+\s|\u2014")
_WORD = re.compile(r"[^\W_]+(?:['.\-][^\W_]+)*")

_CLAUSE_BREAK = re.compile(r"[,:()\"]+")
_CONJUNCTIONS = frozenset({"and", "but", "so", "also", "then", "plus", "yet", "though", "anyway", "or"})
_CLAUSE_STARTS = frozenset({
    "i", "my", "we", "our", "he", "she", "they", "it", "this", "that", "there", "you", "your", "what", "how", "why",
    "where", "who", "can", "could", "do", "does", "did", "will", "would", "should", "is", "are", "please", "thank",
    "thanks", "everything", "nobody", "somebody", "someone", "everybody", "today", "yesterday", "now", "i'd",
    "goodbye", "bye",
})  # fmt: skip
"""First words of a clause after a conjunction; "sad and lonely" is one clause."""
_LEADS_ON = _CONJUNCTIONS | frozenset({
    "when", "if", "that", "because", "what", "how", "than", "as", "like", "where", "why", "who", "which", "since",
    "while", "until", "before", "after", "once", "whether", "unless", "although", "think", "know", "feel", "hope",
    "wish", "say", "said", "guess", "mean", "believe", "suppose", "swear", "bet", "do", "did", "should", "can",
    "could", "would", "will", "am", "was", "have", "had", "may", "might", "must", "don't", "didn't", "can't", "won't",
    "shouldn't", "wouldn't", "couldn't", "haven't", "hadn't", "whatever", "whenever", "everything", "anything",
    "something", "nothing", "all", "person", "one", "thing", "time", "day", "way", "the", "a", "my", "your",
    "sometimes", "today", "yesterday", "now", "lately", "maybe", "just", "too", "made", "told", "only", "every",
})  # fmt: skip
"""Words after which "i" continues a clause; after other words it begins one, as in transcripts without punctuation."""
_INTRODUCED = ("my name is", "call me")
"""A name of one word follows."""

# Spellings of the same word.  `normalize_words` handles "it's", which depends on the next word.
_SAME = {
    "i'm": "i am", "im": "i am", "i've": "i have", "ive": "i have", "i'll": "i will", "id": "i'd", "you're": "you are",
    "youre": "you are", "you've": "you have", "you'll": "you will", "we're": "we are", "we've": "we have",
    "we'll": "we will", "they're": "they are", "theyre": "they are", "they've": "they have", "they'll": "they will",
    "it'll": "it will", "he'll": "he will", "she'll": "she will", "isn't": "is not", "isnt": "is not",
    "aren't": "are not", "arent": "are not", "wasn't": "was not", "wasnt": "was not", "weren't": "were not",
    "werent": "were not", "ain't": "am not", "aint": "am not", "cannot": "can't", "cant": "can't", "dont": "don't",
    "doesnt": "doesn't", "didnt": "didn't", "wont": "won't", "wouldnt": "wouldn't", "couldnt": "couldn't",
    "shouldnt": "shouldn't", "havent": "haven't", "hasnt": "hasn't", "hadnt": "hadn't", "wanna": "want to",
    "gonna": "going to", "gotta": "have to", "dunno": "don't know", "gimme": "give me", "lemme": "let me",
    "kinda": "kind of", "sorta": "sort of", "cuz": "because", "coz": "because", "cos": "because", "'cause": "because",
    "u": "you", "ur": "your", "pls": "please", "plz": "please", "thx": "thanks", "ty": "thank you",
    "idk": "i don't know", "ok": "okay", "o.k": "okay", "thats": "that is", "whats": "what is", "hows": "how is",
    "wheres": "where is", "whos": "who is", "theres": "there is", "let's": "let us", "lets": "let us", "y'all": "you",
    "ya": "you", "mom's": "mom's", "nothin": "nothing", "doin": "doing", "feelin": "feeling", "goin": "going",
    "bein": "being",
}  # fmt: skip
_NOT = {
    "do": "don't", "does": "doesn't", "did": "didn't", "can": "can't", "could": "couldn't", "will": "won't",
    "would": "wouldn't", "should": "shouldn't", "have": "haven't", "has": "hasn't", "had": "hadn't",
}  # fmt: skip
_S_IS = frozenset(
    {"it", "he", "she", "that", "what", "who", "where", "how", "there", "here", "everything", "when", "why"}
)
_AFTER_HAS = frozenset({"been", "got", "gone", "had", "become", "taken", "made", "left", "done", "happened"})


@dataclass(frozen=True, slots=True)
class Utterance:
    """A normalized text of the user.

    Attributes:
        segments: sentences, or parts of long ones, as lower-case words separated by single spaces; none is empty.
        greeted: a greeting before the rest was removed.
        clauses: the independent clauses of each segment; empty for segments with one clause.
    """

    segments: tuple[str, ...]
    greeted: bool = False
    clauses: tuple[tuple[str, ...], ...] = ()

    @property
    def whole(self) -> str:
        return " ".join(self.segments)


class UtteranceParser:
    """Parses what users say.

    Args:
        fillers: phrases without a meaning at the start of a sentence ("well", "you know").
        greetings: greetings; removed if more text follows.
        emoji: words for emoji without a text.
    """

    def __init__(self, fillers: Iterable[str], greetings: Iterable[str], emoji: Mapping[str, str]) -> None:
        self._greetings = frozenset(greetings)
        # Fillers and greetings, and whether they are greetings.
        self._openings = Phrases(dict.fromkeys(fillers, False) | dict.fromkeys(self._greetings, True))
        self._emoji = {strip_invisible(sign): words for sign, words in emoji.items()}

    def read(self, text: str) -> Utterance:
        """Splits `text` into segments; a text without words has the words of its emoji, or no segment."""
        clean = strip_invisible(text).translate(_QUOTES).lower()
        clean = _TITLE_DOT.sub(r"\1", clean)
        segments: list[str] = []
        clauses: list[tuple[str, ...]] = []
        greeted = False
        for part in _BREAK.split(clean):
            words = normalize_words(_WORD.findall(part))
            for start in range(0, len(words), MAX_SEGMENT_WORDS):
                segment, after_greeting = self._without_opening(words[start : start + MAX_SEGMENT_WORDS])
                greeted = greeted or after_greeting
                segments.append(" ".join(segment))
                several = start == 0 and len(words) <= MAX_SEGMENT_WORDS
                clauses.append(self._clauses(part) if several else ())
        if not greeted and len(segments) > 1 and segments[0] in self._greetings:
            segments, clauses, greeted = segments[1:], clauses[1:], True
        if not segments:
            segments = list(dict.fromkeys(self._emoji[sign] for sign in clean if sign in self._emoji))
            clauses = [()] * len(segments)
        return Utterance(tuple(segments), greeted, tuple(clauses))

    def _clauses(self, text: str) -> tuple[str, ...]:
        """The independent clauses of a text; empty if there is only one."""
        parts = [
            clause
            for part in _CLAUSE_BREAK.split(text)
            for clause in _independent(normalize_words(_WORD.findall(part)))
            if clause
        ]
        return tuple(" ".join(self._without_opening(part)[0]) for part in parts) if len(parts) > 1 else ()

    def _without_opening(self, words: list[str]) -> tuple[list[str], bool]:
        """Removes fillers and greetings from the start while at least two words remain."""
        greeted = False
        while words and (found := self._openings.at(words, 0)):
            rest = words[len(found.phrase.split()) :]
            if len(rest) < 2:
                break
            words, greeted = rest, greeted or found.value
        return words, greeted


def _independent(words: list[str]) -> list[list[str]]:
    """Splits `words` before each independent clause."""
    clauses: list[list[str]] = []
    begin = 0
    for at in range(1, len(words)):
        word, before = words[at], words[at - 1]
        if word in _CONJUNCTIONS and at + 1 < len(words) and words[at + 1] in _CLAUSE_STARTS:
            clauses.append(words[begin:at])
            begin = at + 1
        elif at > begin and (
            (word == "i" and before not in _LEADS_ON) or (at + 1 < len(words) and _ends_introduction(words[begin:at]))
        ):
            clauses.append(words[begin:at])
            begin = at
    return [*clauses, words[begin:]]


def _ends_introduction(words: list[str]) -> bool:
    return " ".join(words[:-1]).endswith(_INTRODUCED)


def normalize_words(words: Sequence[str]) -> list[str]:
    """Expands contractions and short spellings."""
    spelled: list[str] = []
    for word in words:
        spelled += _SAME.get(word, word).split()
    result: list[str] = []
    for at, word in enumerate(spelled):
        following = spelled[at + 1] if at + 1 < len(spelled) else ""
        if word == "not" and result and result[-1] in _NOT:
            result[-1] = _NOT[result[-1]]
        elif word.endswith("'s") and word[:-2] in _S_IS:
            result += [word[:-2], "has" if following in _AFTER_HAS else "is"]
        else:
            result.append(word)
    return result


def strip_invisible(text: str) -> str:
    """`text` without invisible characters, skin tones and joiners."""
    return _INVISIBLE.sub("", unicodedata.normalize("NFC", text)).replace("\u200d", "")


def sentence_key(sentence: str) -> str:
    """The words of a sentence: sentences with the same key sound the same."""
    return " ".join(_WORD.findall(sentence.translate(_QUOTES).lower()))


def sentences_of(text: str) -> list[str]:
    """Splits a text with punctuation into sentences."""
    return [sentence for sentence in re.split(r"(?<=[.?!])\s+", text.strip()) if sentence]
