"""The tables of emotions that services share."""

from __future__ import annotations

import pytest

from oviya.emotions.tables import DATA, load_aliases, load_emotions, load_tone_policy
from services.brain.emotions import EMOTIONS
from services.brain.listener.loader import load_script
from services.brain.ollama.output.emotion_tags import ALIASES
from services.emotion.policy import Policy
from services.emotion.prosody.catalogue import Catalogue
from tests.support.faulty_data import copy_with_fault

NAMES = set(load_emotions())


def test_brain_and_emotion_know_the_same_names():
    assert {emotion.name for emotion in Catalogue.load()} == EMOTIONS == NAMES


def test_brain_and_emotion_answer_a_feeling_alike():
    """Calls without a tone are answered by the listener's own choice; a reply must not depend on who was asked."""
    assert load_script().tones == Policy(NAMES).rows


def test_every_alias_has_a_use_and_means_an_emotion():
    aliases = load_aliases()
    assert len({alias.name for alias in aliases}) == len(aliases)
    assert all(alias.prosody_label or alias.in_reply for alias in aliases)
    assert set(ALIASES.values()) <= NAMES
    assert all(ALIASES)


@pytest.mark.parametrize(
    ("table", "old", "new", "complaint"),
    [
        ("tone-policy.tsv", "comforting\ttender", "comforting\tweepy", "weepy"),
        ("tone-policy.tsv", "\tcurious\tlight", "\tnosy\tlight", "nosy"),
        ("tone-policy.tsv", "\theavy\t", "\tdark\t", "dark"),
        ("tone-policy.tsv", "\t0.9\t", "\t9\t", "strength"),
        ("tone-policy.tsv", "bored\t", "boredom\t", "boredom"),
        ("emotions.tsv", "bored\t", "boredom\t", "boredom"),
        ("emotions.tsv", "\t0.4\t", "\t4\t", "within"),
    ],
)
def test_a_faulty_table_is_refused_by_name(tmp_path, table, old, new, complaint):
    folder = copy_with_fault(DATA, tmp_path, table, old, new)
    with pytest.raises(ValueError, match=complaint):
        load_tone_policy(load_emotions(folder), folder)
