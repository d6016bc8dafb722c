"""How much of a reply was heard when it was interrupted."""

from __future__ import annotations

import re

from oviya.text.speakable import speakable
from services.gateway.voice.speaker import Spoken

SPEAKING_CHARS_A_SECOND = 15.0
"""A usual rate of English speech, for the length of a sentence whose sound was not made to its end."""
_WORD = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]|[^\s\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]++")
"""What is heard or not: a word, or a character of a script that puts no blanks between words."""


def heard_sentences(spoken: Spoken, unplayed_s: float) -> list[str]:
    """The sentences that were heard, the last one as far as it was: it then ends without a full stop.

    They are as written; a word counts for as long as it takes to say: "$9.99" is six words.

    Args:
        spoken: what was sent.
        unplayed_s: sound in seconds that was sent and not yet played when the reply was stopped.
    """
    played_s = max(0.0, spoken.duration_s - unplayed_s)
    heard: list[str] = []
    for index, (text, start_s) in enumerate(zip(spoken.sentences, spoken.starts_s, strict=True)):
        last = index == len(spoken.sentences) - 1
        sent_s = (spoken.duration_s if last else spoken.starts_s[index + 1]) - start_s
        whole_s = sent_s
        if index >= spoken.finished:
            whole_s = max(sent_s, len(speakable(text) or text) / SPEAKING_CHARS_A_SECOND)
        share = (played_s - start_s) / whole_s if whole_s else 0.0
        if share >= 1.0:
            heard.append(text)
            continue
        if beginning := _beginning(text, share):
            heard.append(beginning)
        break
    return heard


def _beginning(text: str, share: float) -> str:
    """The words of `text` that were said in this share of its time, the last one by more than its half."""
    words = list(_WORD.finditer(text))
    lengths = [len(speakable(word.group())) + 1 for word in words]
    left, end = share * sum(lengths) + 1e-9, 0
    for word, length in zip(words, lengths, strict=True):
        if left < length / 2:
            break
        left -= length
        end = word.end()
    return text[:end]
