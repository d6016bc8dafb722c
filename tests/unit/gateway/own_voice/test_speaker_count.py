"""One speaker passes, and several are found, however they share the clip."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from oviya.errors import InvalidInput
from services.gateway.own_voice.speaker_count import check_one_speaker, load_model, speaker_evidence
from services.gateway.own_voice.voice_features import FEATURES, voice_parts
from tests.support.speech import silence, speak

VOICES = ("slt", "rms", "awb", "kal16")
SENTENCES = (
    "My brother called, and he told me about the garden.",
    "We walked to the lake and back before it rained.",
    "She left her bag on the train, but somebody found it.",
    "The shop on the corner closes early on Sunday.",
)


def said(*turns):
    """Sentences by voices, with pauses between them."""
    return np.concatenate([piece for text, voice in turns for piece in (speak(text, 16_000, voice), silence(0.3))])


@pytest.mark.parametrize("voice", VOICES)
@pytest.mark.parametrize("count", [2, 4])
def test_one_speaker_passes(voice, count):
    check_one_speaker(said(*((text, voice) for text in SENTENCES[:count])))


@pytest.mark.parametrize(("first", "second"), list(combinations(VOICES, 2)))
def test_two_speakers_are_found(first, second):
    one, two, three, four = SENTENCES
    half = said((one, first), (two, first), (three, second), (four, second))
    in_turns = said((one, first), (two, second), (three, first), (four, second))
    for clip in (half, in_turns):
        with pytest.raises(InvalidInput, match="several speakers") as caught:
            check_one_speaker(clip)
        assert caught.value.field == "set_voice.clip.audio"


def test_what_is_too_short_to_judge_passes():
    check_one_speaker(said((SENTENCES[0], "slt"))[:8000])
    check_one_speaker(silence(3.0))


def test_parts_follow_pitch_and_length():
    low, high = voice_parts(said((SENTENCES[0], "rms"))), voice_parts(said((SENTENCES[0], "slt")))
    assert all(part.features.shape == (FEATURES,) and 0.4 <= part.weight < 2 for part in low + high)
    assert np.mean([part.features[-1] for part in high]) > np.mean([part.features[-1] for part in low]) + 5
    assert speaker_evidence(low + high, load_model()) > 0 > speaker_evidence(low, load_model())
