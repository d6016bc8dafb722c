"""Silero VAD on real speech."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from oviya.errors import CheckpointError
from services.stt.endpoint.vad import WINDOW_SAMPLES, SileroVad
from tests.support.speech import SAD, silence, speak


@pytest.fixture(scope="module")
def vad():
    return SileroVad()


def probabilities(stream, sound):
    whole = len(sound) - len(sound) % WINDOW_SAMPLES
    return np.array([stream.probability(window) for window in sound[:whole].reshape(-1, WINDOW_SAMPLES)])


def test_speech_is_likely_where_it_is_and_nowhere_else(vad):
    heard = probabilities(vad.stream(), np.concatenate((silence(1.0), speak(SAD), silence(1.0))))
    lead, tail = round(1.0 * 16_000 / WINDOW_SAMPLES), round(0.8 * 16_000 / WINDOW_SAMPLES)
    assert heard[:lead].max() < 0.35
    assert heard[-tail:].max() < 0.35
    assert np.median(heard[lead + 10 : -tail - 10]) > 0.9


@pytest.mark.parametrize("level", [0.001, 0.01, 0.1])
def test_white_noise_is_not_speech(vad, level):
    noise = np.random.default_rng(3).normal(0, level, 5 * 16_000).astype(np.float32)
    assert probabilities(vad.stream(), noise).max() < 0.5


def test_streams_share_the_model_but_no_state(vad):
    sound = speak(SAD)
    alone = probabilities(vad.stream(), sound)
    first, second = vad.stream(), vad.stream()
    for index, window in enumerate(sound[: len(alone) * WINDOW_SAMPLES].reshape(-1, WINDOW_SAMPLES)):
        assert first.probability(window) == alone[index]
        second.probability(-window[::-1])


def test_the_windows_before_matter(vad):
    """Without state and context, each window would be independent."""
    sound = np.concatenate((silence(0.5), speak(SAD)))
    stream = probabilities(vad.stream(), sound)
    alone = np.array([vad.stream().probability(sound[i * 512 : (i + 1) * 512]) for i in range(len(stream))])
    assert np.abs(stream - alone).max() > 0.3


def test_a_file_that_is_no_model_is_refused(tmp_path):
    (tmp_path / "vad.onnx").write_bytes(b"not a model")
    with pytest.raises(CheckpointError, match=r"vad\.onnx"):
        SileroVad(tmp_path / "vad.onnx")


def test_the_service_needs_neither_torch_nor_the_vads_package():
    code = (
        "import sys, services.stt.server; services.stt.server.SttEngine; "
        "from services.stt.endpoint.vad import SileroVad; "
        "SileroVad(); print(*sorted({'torch', 'silero_vad', 'torchaudio'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""


def test_nothing_is_reported_to_onnxruntimes_maker(tmp_path):
    """If it reports, it keeps an id of the machine in the user's cache."""
    code = "from services.stt.endpoint.vad import SileroVad; SileroVad()"
    # It does not report if it detects a test environment.
    home = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    home |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", code], env=home, check=True)
    assert not list(tmp_path.rglob("*"))
