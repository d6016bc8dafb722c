"""Swaps the first and second person: "i feel that you hate me" becomes "you feel that I hate you"."""

from __future__ import annotations

from collections.abc import Sequence

_FIRST_TO_SECOND = {
    "i": "you", "me": "you", "my": "your", "mine": "yours", "myself": "yourself", "we": "you", "us": "you",
    "our": "your", "ours": "yours", "ourselves": "yourselves", "i'd": "you would", "i'll": "you will",
    "we'd": "you would",
}  # fmt: skip
_SECOND_TO_FIRST = {"your": "my", "yours": "mine", "yourself": "myself"}
_SUBJECT_I = frozenset({"i", "we"})
_BE = {"am": "are", "was": "were"}
_BE_BACK = {"are": "am", "were": "was"}

# "you" is the subject if one of these follows ...
_VERBS = frozenset({
    "are", "were", "have", "had", "can", "could", "will", "would", "should", "must", "might", "may", "do", "did",
    "don't", "didn't", "can't", "couldn't", "won't", "wouldn't", "shouldn't", "haven't", "hadn't", "never", "always",
    "really", "only", "just", "also", "know", "think", "feel", "want", "need", "like", "love", "hate", "understand",
    "say", "said", "see", "saw", "make", "made", "mean", "meant", "get", "got", "go", "went", "come", "came", "tell",
    "told", "help", "helped", "hear", "heard", "listen", "talk", "remember", "believe", "care", "sound", "seem",
    "look", "give", "gave", "keep", "work", "live", "speak", "ask", "asked", "answer",
})  # fmt: skip
# ... unless one of these precedes it: then it is their object.
_TAKES_OBJECT = frozenset({
    "to", "for", "with", "of", "at", "about", "from", "by", "on", "than", "like", "between", "without", "against",
    "near", "behind", "and", "want", "wants", "tell", "told", "ask", "asked", "love", "hate", "need", "help", "let",
    "make", "see", "hear", "know", "miss", "thank", "trust", "understand", "believe", "give", "show", "call",
})  # fmt: skip
_ADVERBS = frozenset({"never", "always", "really", "still", "just", "also"})
_AUXILIARIES = frozenset({"do", "did", "can", "could", "will", "would", "should", "are", "were", "have"})
_QUESTION_BE = frozenset({"are", "were"})
# "when you lose somebody" means anybody, not the listener.
_ANYBODY = frozenset({"when", "if", "once", "because", "until"})


def reflect(text: str) -> str:
    """Reflects normalized words (see `utterance.py`); "I" has its capital."""
    words = text.split()
    result: list[str] = []
    for at, word in enumerate(words):
        previous, following = _at(words, at - 1), _at(words, at + 1)
        if word in _FIRST_TO_SECOND:
            result.append(_FIRST_TO_SECOND[word])
        elif word in _BE and (_is_subject(words, at) or (following in _SUBJECT_I and previous != "than")):
            result.append(_BE[word])
        elif word == "you":
            result.append("you" if _means_anybody(words, at) else _first_person(words, at))
        elif word in _BE_BACK and ((previous == "you" and result[-1] == "I") or _asks_you(words, at)):
            result.append(_BE_BACK[word])
        elif word in _SECOND_TO_FIRST:
            result.append(_SECOND_TO_FIRST[word])
        else:
            result.append(word)
    return " ".join(result)


def _at(words: Sequence[str], index: int) -> str:
    return words[index] if 0 <= index < len(words) else ""


def _is_subject(words: Sequence[str], verb_at: int) -> bool:
    """Whether "i" or "we" precedes the verb at `verb_at`, directly or before an adverb."""
    if _at(words, verb_at - 1) in _SUBJECT_I:
        # The verb follows "i" in "my brother and i was" as well.
        return True
    return _at(words, verb_at - 2) in _SUBJECT_I and _at(words, verb_at - 1) in _ADVERBS


def _asks_you(words: Sequence[str], at: int) -> bool:
    return (
        words[at] in _QUESTION_BE
        and _at(words, at + 1) == "you"
        and (at == 0 or _at(words, at - 1) in {"who", "what", "how", "where", "why", "when"})
    )


def _means_anybody(words: Sequence[str], at: int) -> bool:
    return _at(words, at - 1) in _ANYBODY and _at(words, at + 1) not in {"said", "say", "told", "asked"}


def _first_person(words: Sequence[str], at: int) -> str:
    previous, following = _at(words, at - 1), _at(words, at + 1)
    if previous in _TAKES_OBJECT and following not in _BE_BACK:
        return "me"
    if following in _VERBS or previous in _AUXILIARIES:
        return "I"
    return "I" if at == 0 and following else "me"
