"""`oviya say`: each voice, each option, each error."""

from __future__ import annotations

import numpy as np
import pytest

from oviya.audio.wav import read_wav
from tests.support.reply_signal import correlation, level_dbov, synthesize, worst_window

TEXT = "Hello there. How are you today?"


async def test_the_fallback_voice_comes_through_as_it_is(cli, tmp_path):
    done = cli("say", TEXT, "-o", "out.wav", "--voice", "fallback", "--speaker", "3", "--emotion", "joy", "--json")
    assert done.code == 0, done.stdout + done.stderr
    report = done.document
    assert [sentence["text"] for sentence in report["sentences"]] == ["Hello there.", "How are you today?"]
    assert {sentence["voice"] for sentence in report["sentences"]} == {"fallback"}
    assert {sentence["plan"]["emotion"] for sentence in report["sentences"]} == {"joyful_excited"}  # whose alias joy is
    sound, rate_hz = read_wav(tmp_path / "out.wav")
    assert rate_hz == report["sample_rate_hz"] == 24_000
    assert report["duration_s"] == pytest.approx(len(sound) / rate_hz, abs=0.001)
    source = await synthesize(report["sentences"], speaker=3)
    assert len(sound) == len(source)
    assert correlation(sound, source) > 0.95
    assert worst_window(sound, source) > 0.9
    assert np.abs(sound).max() < 0.999
    assert -24 < level_dbov(sound) < -8


def test_csm_speaks_where_the_choice_is_left_and_the_sound_is_mimi_s(cli, mesh, tmp_path):
    report = cli("say", TEXT, "-o", "out.wav", "--json").document
    assert {sentence["voice"] for sentence in report["sentences"]} == {"csm"}
    decoded = mesh.mimi.drain()
    assert len(decoded) == len(report["sentences"]) == 2
    sound, source = read_wav(tmp_path / "out.wav")[0], np.concatenate(decoded)
    assert len(sound) == len(source)
    assert correlation(sound, source) > 0.95
    assert worst_window(sound, source) > 0.9
    assert np.abs(sound).max() < 0.999


def test_csm_speaks_through_rvq_and_a_seed_repeats_it(cli, tmp_path):
    sounds = []
    for name, seed in (("one", "7"), ("two", "7"), ("three", "8")):
        done = cli("say", "Hello.", "-o", f"{name}.wav", "--voice", "csm", "--seed", seed, "--json")
        assert done.code == 0, done.stdout + done.stderr
        assert {sentence["voice"] for sentence in done.document["sentences"]} == {"csm"}
        sounds.append(read_wav(tmp_path / f"{name}.wav")[0])
    one, two, three = sounds
    assert level_dbov(one) > -60
    assert len(one) % 1920 == 0  # whole frames of 80 ms
    np.testing.assert_array_equal(one, two)
    assert len(one) != len(three) or not np.array_equal(one, three)


def test_speakers_and_emotions_sound_different(cli, tmp_path):
    variants = {
        "plain": (),
        "speaker": ("--speaker", "1"),
        "sad": ("--emotion", "sad"),
        "joy": ("--emotion", "joy"),
    }
    sounds = {}
    for name, options in variants.items():
        assert cli("say", TEXT, "-o", f"{name}.wav", "--voice", "fallback", *options).code == 0
        sounds[name] = read_wav(tmp_path / f"{name}.wav")[0]
    assert len(sounds["sad"]) > len(sounds["joy"])  # a sad voice is slower
    for name in ("speaker", "sad", "joy"):
        length = min(len(sounds[name]), len(sounds["plain"]))
        assert correlation(sounds[name][:length], sounds["plain"][:length]) < 0.9


@pytest.mark.parametrize("rate", [8_000, 48_000])
def test_other_rates_hold_the_same_speech(cli, tmp_path, rate):
    lengths = []
    for wanted in (24_000, rate):
        cli("say", TEXT, "-o", "out.wav", "--voice", "fallback", "--rate", str(wanted))
        sound, rate_hz = read_wav(tmp_path / "out.wav")
        assert rate_hz == wanted
        lengths.append(len(sound) / rate_hz)
    assert lengths[0] == pytest.approx(lengths[1], abs=0.02)


def test_people_read_what_is_said_and_brackets_stay(cli):
    done = cli("say", "Press [red]enter[/red] now.", "-o", "out.wav", "--voice", "fallback")
    assert done.code == 0, done.stderr
    assert "[neutral] Press [red]enter[/red] now." in done.stdout
    assert "out.wav" in done.stdout


def test_text_comes_from_standard_input(cli, tmp_path):
    report = cli("say", "-", "-o", "out.wav", "--voice", "fallback", "--json", stdin="Good morning.\n").document
    assert report["sentences"][0]["text"] == "Good morning."


def test_an_unknown_emotion_is_refused_and_near_ones_offered(cli, tmp_path):
    done = cli("say", TEXT, "-o", "out.wav", "--emotion", "hapy", "--json")
    assert done.code == 2
    error = done.document["error"]
    assert (error["type"], error["value"]) == ("InvalidInput", "hapy")
    assert "happy" in error["suggestions"]
    assert not (tmp_path / "out.wav").exists()
    readable = cli("say", TEXT, "-o", "out.wav", "--emotion", "hapy")
    assert readable.code == 2
    assert "happy" in readable.stderr
    assert "Traceback" not in readable.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("", "-o", "out.wav"),
        ("x" * 9000, "-o", "out.wav"),
        (TEXT, "-o", "."),
        (TEXT, "-o", "no/folder.wav"),
        (TEXT, "-o", "out.wav", "--rate", "1000"),
    ],
)
def test_what_cannot_be_said_is_refused(cli, arguments):
    done = cli("say", *arguments, "--json")
    assert done.code == 2
    assert done.document["error"]["type"] == "InvalidInput"
    assert cli("say", "Still here.", "-o", "out.wav").code == 0


@pytest.mark.parametrize(
    "arguments",
    [(TEXT,), (TEXT, "-o", "out.wav", "--voice", "opera"), (TEXT, "-o", "out.wav", "--speaker", "65536")],
)
def test_wrong_usage_exits_with_2_and_prints_nothing_on_standard_output(cli, arguments):
    done = cli("say", *arguments, "--json")
    assert (done.code, done.stdout) == (2, "")
    assert "Usage" in done.stderr
