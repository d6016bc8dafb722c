"""The text of an interrupted reply up to the point where it was heard."""

from __future__ import annotations

import re

from oviya.text.speakable import speakable
from services.gateway.voice.speech_handle import SpeechHandle

SPEAKING_CHARS_A_SECOND = 15.0
"""A usual rate of English speech, for the length of a sentence that was not sent to its end."""
_WORD = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]|[^\s\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]++")
"""Unit of truncation: a word, or a character of a script that puts no blanks between words."""


def heard_sentences(speech: SpeechHandle) -> list[str]:
    """Returns the sentences that have been played, the last one up to the point where playback is.

    They are in their written form.  A word counts for as long as it takes to say: "$9.99" is six words.
    """
    heard: list[str] = []
    for sent in speech.sent_segments:
        assert sent.start_s is not None
        text, whole_s = sent.segment.text, sent.end_s - sent.start_s
        if not sent.complete:
            whole_s = max(whole_s, len(speakable(text) or text) / SPEAKING_CHARS_A_SECOND)
        share = (speech.played_s - sent.start_s) / whole_s if whole_s else 0.0
        if share >= 1.0:
            heard.append(text)
            continue
        if beginning := _beginning(text, share):
            heard.append(beginning)
        break
    return heard


def _beginning(text: str, share: float) -> str:
    """Returns the words of `text` that were said in this share of its time; the last one by more than its half."""
    words = list(_WORD.finditer(text))
    lengths = [len(speakable(word.group())) + 1 for word in words]
    left, end = share * sum(lengths) + 1e-9, 0
    for word, length in zip(words, lengths, strict=True):
        if left < length / 2:
            break
        left -= length
        end = word.end()
    return text[:end]
