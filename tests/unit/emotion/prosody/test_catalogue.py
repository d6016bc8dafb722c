"""The 49 emotions, their other names and their prosody plans."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from oviya.emotions.tables import DATA, load_aliases
from oviya.errors import InvalidInput
from services.emotion.prosody.catalogue import Catalogue
from services.emotion.prosody.planner import CSM_TEMPERATURE, Planner

STYLES = {"calm", "sad", "joy", "playful", "confident", "anxious", "firm", "neutral"}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.load()


@pytest.fixture(scope="module")
def planner() -> Planner:
    return Planner.load()


def aliases() -> list[tuple[str, str]]:
    return [(alias.name, alias.prosody_label) for alias in load_aliases() if alias.prosody_label]


def test_there_are_49_emotions_with_known_styles(catalogue):
    assert len(catalogue) == 49
    assert len({emotion.name for emotion in catalogue}) == 49
    assert {emotion.style for emotion in catalogue} == STYLES
    assert {emotion.tier for emotion in catalogue} == {1, 2, 3}


@pytest.mark.parametrize(("alias", "label"), aliases())
def test_every_alias_leads_to_one_of_the_49_and_reports_its_label(catalogue, alias, label):
    resolved = catalogue.resolve(alias)
    assert resolved.alias_label == label
    assert resolved.emotion in set(catalogue)
    # The label alone leads to the same voice.
    assert catalogue.resolve(label).emotion == resolved.emotion


@pytest.mark.parametrize(
    ("asked", "emotion", "label"),
    [
        ("joy", "joyful_excited", "happy"),
        ("happy", "joyful_excited", "happy"),
        ("empathy", "empathetic_sad", "compassionate"),
        ("calm", "calm_supportive", "calm"),
        ("warm", "affectionate", "warm"),
        ("playful", "playful", ""),
        ("", "neutral", ""),
        ("Joyful-Excited", "joyful_excited", ""),
        ("  JOYFUL excited ", "joyful_excited", ""),
    ],
)
def test_names_are_found_however_they_are_written(catalogue, asked, emotion, label):
    resolved = catalogue.resolve(asked)
    assert (resolved.emotion.name, resolved.alias_label) == (emotion, label)


@pytest.mark.parametrize(
    ("asked", "suggestion"),
    [("hapy", "happy"), ("angry", "angry_firm"), ("lonly", "lonely"), ("supportive!", "supportive")],
)
def test_an_unknown_name_is_refused_with_the_nearest(catalogue, asked, suggestion):
    with pytest.raises(InvalidInput) as refused:
        catalogue.resolve(asked)
    assert refused.value.field == "emotion"
    assert refused.value.value == asked
    assert suggestion in refused.value.suggestions


@pytest.mark.parametrize("asked", ["qqqq", "x" * 1_000_000, "\U0001f600", "123"])
def test_a_name_near_to_none_is_refused_without_suggestions(catalogue, asked):
    with pytest.raises(InvalidInput) as refused:
        catalogue.resolve(asked)
    assert refused.value.suggestions == ()
    assert len(str(refused.value)) < 400


def test_other_names_are_listed_with_their_emotion(catalogue):
    listed = {name: emotion.name for emotion in catalogue for name in catalogue.other_names(emotion)}
    names = {emotion.name for emotion in catalogue}
    assert listed.keys() & names == set()
    for alias, label in aliases():
        for name in {alias, label} - names:
            assert listed[name] == catalogue.resolve(name).emotion.name


def test_a_label_that_leads_nowhere_stops_loading(tmp_path: Path):
    folder = shutil.copytree(DATA, tmp_path / "data")
    with (folder / "aliases.tsv").open("a", encoding="utf-8") as table:
        table.write("glee\tgleeful\t-\n")
    with pytest.raises(ValueError, match="gleeful"):
        Catalogue.load(folder)


def test_full_intensity_is_the_table_and_zero_is_neutral(catalogue, planner):
    sad = catalogue.resolve("empathetic_sad").emotion
    full, none = planner.plan(sad, 1.0), planner.plan(sad, 0.0)
    assert (full.pitch_scale, full.rate_scale, full.energy_scale) == pytest.approx((0.85, 0.85, 0.6))
    assert (full.style, full.reference_clip) == ("sad", "sad")
    neutral = planner.plan(catalogue.neutral)
    assert none.emotion == "empathetic_sad"
    assert (none.style, none.reference_clip) == (neutral.style, neutral.reference_clip)
    assert (none.pitch_scale, none.rate_scale, none.energy_scale, none.temperature) == (1, 1, 1, CSM_TEMPERATURE)


def test_intensity_moves_every_scale_steadily_away_from_neutral(catalogue, planner):
    for emotion in catalogue:
        plans = [planner.plan(emotion, step / 4) for step in range(5)]
        for scale in ("pitch_scale", "rate_scale", "energy_scale"):
            distances = [abs(getattr(plan, scale) - 1) for plan in plans]
            assert distances == sorted(distances)


def test_livelier_emotions_are_sampled_more_freely(catalogue, planner):
    by_energy = sorted(catalogue, key=lambda emotion: emotion.energy_scale)
    temperatures = [planner.plan(emotion).temperature for emotion in by_energy]
    assert temperatures == sorted(temperatures)
    assert temperatures[0] == pytest.approx(0.80)
    assert temperatures[-1] == pytest.approx(0.95)


def test_every_plan_is_within_the_contract(catalogue):
    for base in (0.05, CSM_TEMPERATURE, 2.0):
        planner = Planner.load(base_temperature=base)
        for emotion in catalogue:
            plan = planner.plan(emotion)
            assert 0 < plan.temperature <= 2
            assert 0.5 <= plan.pitch_scale <= 2
            assert 0.5 <= plan.rate_scale <= 2
            assert 0.25 <= plan.energy_scale <= 2
            assert plan.reference_clip


@pytest.mark.parametrize("intensity", [-0.01, 1.01, float("nan"), float("inf")])
def test_an_intensity_out_of_range_is_refused(catalogue, planner, intensity):
    with pytest.raises(InvalidInput) as refused:
        planner.plan(catalogue.neutral, intensity)
    assert (refused.value.field, refused.value.limit) == ("intensity", "0 to 1")
