"""The text of an interrupted reply up to the point where it was heard."""

from __future__ import annotations

from oviya.text.speakable import speakable
from oviya.text.spoken_prefix import spoken_prefix
from services.gateway.voice.speech_handle import SpeechHandle

SPEAKING_CHARS_A_SECOND = 15.0
"""A usual rate of English speech, for the length of a sentence that was not sent to its end."""


def heard_sentences(speech: SpeechHandle) -> list[str]:
    """Returns the sentences that have been played, in their written form, the last one up to where playback is."""
    heard: list[str] = []
    for sent in speech.sent_segments:
        assert sent.start_s is not None
        text, whole_s = sent.segment.text, sent.end_s - sent.start_s
        if not sent.complete:
            whole_s = max(whole_s, len(speakable(text) or text) / SPEAKING_CHARS_A_SECOND)
        share = (speech.played_s - sent.start_s) / whole_s if whole_s else 0.0
        if share < 1.0:
            prefix = spoken_prefix(text, share)
            return [*heard, prefix] if prefix else heard
        heard.append(text)
    return heard
