"""`oviya chat`: spoken with files as its sound card, and typed in a real terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from oviya.audio.wav import read_wav, write_wav
from tests.support.reply_signal import level_dbov
from tests.support.speech import SAD, speak, word_errors
from tests.support.terminal import Terminal
from tests.support.transcripts import normalized


def test_a_recording_is_heard_and_the_reply_is_played_into_a_file(cli, question, tmp_path):
    done = cli("chat", "--device", f"file:{question},out.wav", "--json")
    assert done.code == 0, done.stdout + done.stderr
    turn = done.document["turns"][0]
    assert word_errors(normalized(turn["transcript"]), SAD) <= 2
    assert turn["turn_id"]
    assert turn["reply"]
    assert turn["interrupted"] is None
    sound, rate_hz = read_wav(tmp_path / "out.wav")
    heard = np.flatnonzero(np.abs(sound) > 0.01)
    assert heard[0] > rate_hz  # the question comes first
    assert (heard[-1] - heard[0]) / rate_hz >= turn["reply_duration_s"] - 1.0  # the pauses at its ends are quiet
    assert level_dbov(sound[heard[0] : heard[-1]]) > -40


def test_lines_of_a_pipe_are_answered_one_after_the_other(cli, tmp_path):
    done = cli("chat", "--type", "--emotion", "joy", "--device", "file:,out.wav", stdin="Hello there.\nHow are you?\n")
    assert done.code == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(maxsplit=1)[1] for line in lines if line.startswith("you ")] == ["Hello there.", "How are you?"]
    assert sum("to the first sound" in line for line in lines) == 2
    said = [line for line in lines if line.startswith("oviya ")]
    assert all("[joyful_excited]" in line for line in said)
    assert len(said) >= 2
    assert read_wav(tmp_path / "out.wav")[0].any()


@contextmanager
def terminal(cli, *arguments: str) -> Iterator[Terminal]:
    command = [sys.executable, "-m", "oviya.cli", "chat", *arguments]
    with Terminal(command, cli.folder, cli.env) as running:
        yield running


def test_typing_interrupts_a_reply_and_ctrl_c_hangs_up(cli, tmp_path):
    with terminal(cli, "--type", "--device", "file:,out.wav") as chat:
        chat.wait_for("type something")
        chat.type("Tell me a long story abouk\x7ft a bear.\r")
        chat.wait_for("you    Tell me a long story about a bear.")
        chat.wait_for(r"oviya  \[\w+\] \w+")
        chat.type("Hello.\r")
        chat.wait_for("\N{EM DASH} interrupted")
        chat.wait_for("to the first sound")  # of the second reply
        chat.type("\x03")
        assert chat.wait() == 0
        assert "Traceback" not in chat.shown
        assert "refused" not in chat.shown
    assert read_wav(tmp_path / "out.wav")[0].any()


def test_push_to_talk_hears_what_is_said_between_two_keys(cli, question):
    with terminal(cli, "--push-to-talk", "--device", f"file:{question},") as chat:
        chat.wait_for("space to talk")
        chat.type(" ")
        chat.wait_for("space ends your turn")
        chat.wait_for(r"you    .*\w")  # a partial
        chat.type(" ")
        chat.wait_for("to the first sound")
        chat.type("\x04")
        assert chat.wait() == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--device", "file:in.wav"), "must be file:IN.WAV,OUT.WAV"),
        (("--device", "file:nothing.wav,"), "nothing.wav"),
        (("--device", "file:,", "--keep-as", "ann"), "needs --clip"),
        (("--device", "file:,", "--clip", "nothing.wav"), "nothing.wav"),
    ],
)
def test_what_cannot_be_done_is_refused(cli, arguments, message):
    done = cli("chat", *arguments)
    assert done.code == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_clip_becomes_the_voice(cli, tmp_path):
    said = "the shop on the corner opens at eight and I took the bus to the office today"
    write_wav(tmp_path / "me.wav", speak(said, 16_000), 16_000)
    done = cli("chat", "--type", "--clip", "me.wav", "--device", "file:,", stdin="Hello.\n")
    assert done.code == 0, done.stderr
    assert "refused" not in done.stdout
    (voice,) = [line for line in done.stdout.splitlines() if line.startswith("voice ")]
    assert word_errors(normalized(voice.partition("the clip says:")[2]), said) <= 4


def test_a_voice_is_kept_only_with_consent(cli, question):
    done = cli("chat", "--device", "file:,", "--clip", str(question), "--keep-as", "ann")
    assert done.code == 2
    assert "consent" in done.stderr
