"""How much of a reply was heard when it was interrupted."""

from __future__ import annotations

from services.gateway.speech import Spoken

SPEAKING_CHARS_A_SECOND = 15.0
"""A usual rate of English speech, for the length of a sentence whose sound was not made to its end."""


def heard_sentences(spoken: Spoken, unplayed_s: float) -> list[str]:
    """The sentences that were heard, the last one as far as it was: it then ends without a full stop.

    Args:
        spoken: what was sent.
        unplayed_s: sound in seconds that was sent and not yet played when the reply was stopped.
    """
    played_s = max(0.0, spoken.duration_s - unplayed_s)
    heard: list[str] = []
    for index, (text, start_s) in enumerate(zip(spoken.sentences, spoken.starts_s, strict=True)):
        last = index == len(spoken.sentences) - 1
        sent_s = (spoken.duration_s if last else spoken.starts_s[index + 1]) - start_s
        whole_s = sent_s if index < spoken.finished else max(sent_s, len(text) / SPEAKING_CHARS_A_SECOND)
        share = (played_s - start_s) / whole_s if whole_s else 0.0
        if share >= 1.0:
            heard.append(text)
            continue
        words = text.split()
        if beginning := words[: int(share * len(words))] if share > 0 else []:
            heard.append(" ".join(beginning))
        break
    return heard
