"""Removes words that Whisper invented.

Given sound without speech, Whisper writes what is frequent in its training data, subtitles: "Thank you.", "you",
"[Music]", or one word again and again.  Three things show this: the probability that the decoder gives to no speech at
all, the form of the text, and repetition.

The thresholds were set on Whisper tiny.en with a window of 16 s, a little longer than a final decode's.  The
probability of no speech was 0.03 to 0.68 for 180 recordings of short words ("yes", "stop") without noise and in white
noise of 20 and 10 dB, at most 0.55 for whole sentences, and 0.5 to 0.97 for what the voice detector takes for speech in
telephone tones and knocks.  One of the 138 short words that were recognized is lost, "stop" at 10 dB.  The probability
rises as the sound gets quieter: of 32 short words 40 dB below flite's level, two are lost.  With a window of 8 s it
differs by less than 0.1.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.stt.decode.words import plain
from services.stt.recognizer import Word

NO_SPEECH = 0.7
"""From this probability of no speech on, words are invented unless they are likely in themselves."""
PERHAPS_NO_SPEECH, UNLIKELY = 0.5, -1.3
"""Words are also invented from this probability of no speech on, if their mean log probability is below the second."""
LIKELY = -0.5
"""Words with a mean log probability above this are kept, unless they are a loop: invented words had at most -0.8."""
MAX_REPEATS = 5
"""A word, or a group of words, that occurs more often in a row is a loop.  People say "no, no, no"."""
MAX_LOOP_WORDS = 8
"""The longest group that is looked for."""
MUSIC = str.maketrans("", "", "♩♪♫♬♭♮♯")
BRACKETS = {"[": "]", "(": ")"}


@dataclass(frozen=True)
class Evidence:
    """What a decode tells about its words.

    Attributes:
        log_probability: mean log probability of the tokens: `scores[0]` of CTranslate2's `WhisperGenerationResult`,
            with its default length penalty of 1.
        no_speech: probability of the token for no speech: `no_speech_prob` of the same.
        english_only: whether the model writes nothing but English.
    """

    log_probability: float
    no_speech: float
    english_only: bool


def credible_words(words: Sequence[Word], evidence: Evidence) -> list[Word]:
    """Returns the words of a decode without those that were invented; none if that holds for all."""
    described = without_descriptions(words)
    unlooped = without_loops(described)
    likely = evidence.log_probability > LIKELY and len(unlooped) == len(described)
    if evidence.no_speech >= NO_SPEECH and not likely:
        return []
    if evidence.no_speech >= PERHAPS_NO_SPEECH and evidence.log_probability < UNLIKELY:
        return []
    return [word for word in unlooped if _is_latin(word.text)] if evidence.english_only else unlooped


def without_descriptions(words: Sequence[Word]) -> list[Word]:
    """Removes descriptions of sounds, such as "[upbeat music]" and "(sighs)", and the signs of music.

    A bracket that is not closed removes all that follows.
    """
    kept: list[Word] = []
    closing = ""
    for word in words:
        outside = ""
        for character in word.written:
            if closing:
                closing = "" if character == closing else closing
            elif character in BRACKETS:
                closing = BRACKETS[character]
            else:
                outside += character
        outside = outside.translate(MUSIC)
        if outside == word.written:
            kept.append(word)
        elif text := plain(outside):
            kept.append(replace(word, text=text, written=outside))
    return kept


def without_loops(words: Sequence[Word]) -> list[Word]:
    """Reduces groups of words that occur more than `MAX_REPEATS` times in a row to the first occurrence."""
    kept = list(words)
    for size in range(1, MAX_LOOP_WORDS + 1):
        start = 0
        while start + size * (MAX_REPEATS + 1) <= len(kept):
            texts = [word.text for word in kept[start:]]
            repeats = 1
            while texts[repeats * size : (repeats + 1) * size] == texts[:size]:
                repeats += 1
            if repeats > MAX_REPEATS:
                del kept[start + size : start + repeats * size]
            start += 1
    return kept


def _is_latin(text: str) -> bool:
    """Whether all letters are Latin."""
    return all("LATIN" in unicodedata.name(character, "") for character in text if character.isalpha())
