"""The text of a reply up to the point where it was heard, and the rest."""

from __future__ import annotations

from services.gateway.voice.speech_handle import SpeechHandle


def heard_sentences(speech: SpeechHandle) -> list[str]:
    """Returns the sentences that have been played, in their written form, the last one up to where playback is."""
    heard, _ = _split(speech)
    return heard


def unheard_sentences(speech: SpeechHandle) -> list[str]:
    """Returns what was sent or synthesized, but not played, in its written form."""
    _, unheard = _split(speech)
    return unheard


def _split(speech: SpeechHandle) -> tuple[list[str], list[str]]:
    heard: list[str] = []
    unheard: list[str] = []
    for sent in speech.segments:
        if sent.segment.filler:
            continue
        text = sent.segment.text
        end = sent.words.chars(sent.share_at(speech.played_s))
        if text[:end].strip():
            heard.append(text[:end])
        if text[end:].strip():
            unheard.append(text[end:].strip())
    return heard, unheard
