"""Turns the tokens of a decode into words, with their times and confidences."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from services.stt.recognizer import Word

TOKEN_S = 0.02
"""Resolution of the alignment in seconds: one step of the encoder."""
UNSPACED = frozenset(("zh", "ja", "th", "lo", "my", "yue", "km"))
"""Whisper's codes of languages without spaces between words; each character counts as a word."""
INCOMPLETE = "\N{REPLACEMENT CHARACTER}"


def plain(written: str) -> str:
    """Returns a word in lower case without surrounding punctuation; empty if it has no letter or digit."""
    text = without_closing(written.lower())
    return text[next((index for index, character in enumerate(text) if _is_part_of_word(character)), len(text)) :]


def without_closing(written: str) -> str:
    """Returns a word, or a text, without the punctuation at its end."""
    end = len(written)
    while end and not _is_part_of_word(written[end - 1]):
        end -= 1
    return written[:end]


def _is_part_of_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNM"  # letters, numbers, and the marks that scripts of India add


def text_of(words: Sequence[Word]) -> str:
    """Returns the words as the model wrote them."""
    return "".join(word.written for word in words).strip()


def split_tokens(tokens: Sequence[int], decode: Callable[[Sequence[int]], str], language: str) -> list[tuple[str, int]]:
    """Splits text tokens into words.

    Args:
        tokens: without special tokens.
        decode: returns the text of some tokens.
        language: Whisper's code.

    Returns:
        Each word as written, and its number of tokens.  Punctuation that stands alone is part of the word before it.
    """
    characters: list[tuple[str, int]] = []
    pending: list[int] = []
    for token in tokens:
        pending.append(token)
        piece = decode(pending)
        if INCOMPLETE not in piece:  # a character may have several tokens
            characters.append((piece, len(pending)))
            pending = []
    if pending:
        characters.append((decode(pending).replace(INCOMPLETE, ""), len(pending)))
    words: list[tuple[str, int]] = []
    for piece, count in characters:
        begins = (piece.startswith(" ") or language in UNSPACED) and plain(piece)
        if begins or not words:
            words.append((piece, count))
        else:
            words[-1] = (words[-1][0] + piece, words[-1][1] + count)
    return words


def timed_words(
    pieces: Sequence[tuple[str, int]],
    alignment: Sequence[tuple[int, int]],
    probabilities: Sequence[float],
    duration_s: float,
) -> list[Word]:
    """Returns words with times from an alignment of tokens with the sound.

    Args:
        pieces: what `split_tokens` returned.
        alignment: pairs of a token's index and a time step, both ascending.
        probabilities: of each token.
        duration_s: length of the sound; no word ends later.
    """
    steps = np.array(alignment, np.int64).reshape(-1, 2)
    _, firsts = np.unique(steps[:, 0], return_index=True)
    starts_s = [*(steps[firsts, 1] * TOKEN_S), duration_s]
    words: list[Word] = []
    token = 0
    for written, count in pieces:
        start_s, end_s = (
            min(float(starts_s[min(index, len(starts_s) - 1)]), duration_s) for index in (token, token + count)
        )
        known = [min(max(float(it), 0.0), 1.0) for it in probabilities[token : token + count]]
        token += count
        # Punctuation has a token of its own, the word's last one.
        stop = known.pop() if len(known) > 1 and without_closing(written) != written.rstrip() else None
        if text := plain(written):
            words.append(Word(text, start_s, max(start_s, end_s), float(np.mean(known or [0.0])), written, stop))
        elif words:  # punctuation at the start of the text is left out
            last = words[-1]
            words[-1] = replace(last, written=last.written + written)
    return words


def spread(pieces: Sequence[str], start_s: float, end_s: float, confidence: float) -> list[Word]:
    """Estimates the times of words: divides the interval among them in proportion to their letters."""
    written = [piece for piece in pieces if plain(piece)]
    letter_s = (end_s - start_s) / max(1, sum(len(piece) for piece in written))
    words: list[Word] = []
    for piece in written:
        next_s = start_s + letter_s * len(piece)
        words.append(Word(plain(piece), start_s, next_s, confidence, piece))
        start_s = next_s
    return words
