"""The programs in `examples/`, as their head comments say to run them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from oviya.audio.wav import read_wav
from tests.support.speech import SAD, word_errors
from tests.support.terminal import Terminal
from tests.support.transcripts import normalized

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
NODE_MODULES = ROOT / "build" / "node" / "node_modules"
STORY = """
[wistful] It was late,
and the lamp was out.

[joy] Then the bell rang!

That was all.
"""


def run(mesh, folder: Path, *command: str | Path) -> str:
    """Runs a program to its end; returns what it printed."""
    env = {**os.environ, "OVIYA_ADDRESS": mesh.grpc_address, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def loud(path: Path) -> bool:
    samples, rate_hz = read_wav(path)
    return rate_hz == 24_000 and np.abs(samples).max() > 0.05


def test_the_list_in_the_readme_is_complete():
    named = set(re.findall(r"\(examples/([^)]+)\)", (ROOT / "README.md").read_text("utf-8")))
    assert named == {"voice_assistant.py", "narrate.py", "mood_radio.py", "node/caller.mjs"}
    assert all((EXAMPLES / name).is_file() for name in named)
    assert {path.name for path in EXAMPLES.glob("*.py")} == {name for name in named if name.endswith(".py")}


def test_narrate(mesh, tmp_path):
    (tmp_path / "story.txt").write_text(STORY, "utf-8")
    printed = run(mesh, tmp_path, sys.executable, EXAMPLES / "narrate.py", "story.txt", "story.wav")
    assert sorted(re.findall(r"(\d) \[(\w+)\]", printed)) == [("1", "wistful"), ("2", "joy"), ("3", "neutral")]
    lengths = [float(seconds) for seconds in re.findall(r"([\d.]+) s", printed)]
    samples, rate_hz = read_wav(tmp_path / "story.wav")
    assert len(samples) / rate_hz == pytest.approx(sum(lengths) + 3 * 0.6, abs=0.2)
    assert loud(tmp_path / "story.wav")


def test_mood_radio(mesh, tmp_path):
    program = EXAMPLES / "mood_radio.py"
    printed = run(mesh, tmp_path, sys.executable, program, "melancholic", "joyful_excited", "show.wav")
    moods = re.findall(r"host: +\[(\w+)\]", printed)
    assert moods[0] == "melancholic"
    assert moods[-1] == "joyful_excited"
    assert len(set(moods)) == 4  # one for each caller
    assert loud(tmp_path / "show.wav")


def test_voice_assistant(mesh, question, tmp_path):
    command = [sys.executable, str(EXAMPLES / "voice_assistant.py"), f"file:{question},reply.wav"]
    env = {**os.environ, "OVIYA_ADDRESS": mesh.grpc_address, "PYTHONPATH": str(ROOT)}
    with Terminal(command, tmp_path, env) as assistant:
        heard = assistant.wait_for(r"you:   .*")
        assert word_errors(normalized(heard.removeprefix("you:")), SAD) <= 2
        assistant.wait_for(r"oviya: \[\w+\] \w+")
        assistant.type("\x03")
        assistant.wait_for("bye")
        assert assistant.wait() == 0
    assert (tmp_path / "reply.wav").exists()


def test_node_caller(mesh, question, tmp_path):
    # Node looks for packages beside the program, so it runs from a copy.
    shutil.copytree(EXAMPLES / "node", tmp_path / "examples" / "node", ignore=shutil.ignore_patterns("node_modules"))
    (tmp_path / "protos").symlink_to(ROOT / "protos")
    (tmp_path / "examples" / "node" / "node_modules").symlink_to(NODE_MODULES)
    program = tmp_path / "examples" / "node" / "caller.mjs"
    printed = run(mesh, tmp_path, "node", program, question, "reply.wav", mesh.grpc_address)
    heard = re.search(r"you: +(.*)", printed)
    assert heard
    assert word_errors(normalized(heard[1]), SAD) <= 2
    assert re.search(r"oviya: \[\w+\] \w+", printed)
    assert loud(tmp_path / "reply.wav")
