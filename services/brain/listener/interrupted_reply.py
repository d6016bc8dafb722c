"""What was not heard of a reply that the user interrupted."""

from __future__ import annotations

from services.brain.backend import Interruption
from services.brain.listener.utterance import sentences_of

UNHEARD_RULE = "session.unheard"
"""The rule for asking what was not heard."""


def unheard_sentences(interruption: Interruption | None) -> list[str]:
    """The sentences that were not heard to their end; the first one from its beginning.  Empty: there are none."""
    if interruption is None or not interruption.unheard:
        return []
    heard = sentences_of(interruption.heard)
    cut = heard[-1] if heard and heard[-1][-1] not in ".?!" else ""
    first, *rest = sentences_of(f"{cut} {interruption.unheard}")
    return [first[0].upper() + first[1:], *rest]
