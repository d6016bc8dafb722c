"""Smart Turn on speech, and its input compared with that of the package that the model comes from."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from oviya.errors import CheckpointError
from services.stt.endpoint import smart_turn
from services.stt.endpoint.smart_turn import WINDOW_SAMPLES, SmartTurn, features, find_model
from tests.support.speech import silence, speak

QUESTION = "can you tell me what time it is"


@pytest.fixture(scope="module")
def model():
    return SmartTurn()


@pytest.fixture(scope="module")
def reference():
    """The features as the package computes them, in a module that needs numpy alone."""
    path = find_model().parents[1] / "_whisper_features.py"
    spec = importlib.util.spec_from_file_location("smart_turn_reference", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.compute_whisper_log_mel_features


@pytest.mark.parametrize("seconds", [0.05, 3.0, 8.0, 11.0])
def test_the_input_is_what_the_model_was_trained_on(reference, seconds):
    draw = np.random.default_rng(0)
    count = round(seconds * 16_000)
    sound = (draw.normal(0, 0.1, count) * np.sin(np.arange(count) / 3000) + 0.01).astype(np.float32)
    last = sound[-WINDOW_SAMPLES:]
    expected = reference(np.concatenate((np.zeros(WINDOW_SAMPLES - len(last), np.float32), last)))
    np.testing.assert_allclose(features(sound), expected, atol=1e-4)


def test_a_question_is_over_at_its_end_and_not_before(model):
    whole = speak(QUESTION)
    part = whole[: round(0.55 * len(whole))]
    over, running = (model.probability(np.concatenate((sound, silence(0.2)))) for sound in (whole, part))
    assert running < 0.5
    assert over > 0.8


def test_only_the_last_eight_seconds_count(model):
    last = np.concatenate((np.tile(speak(QUESTION), 6), silence(0.2)))[-WINDOW_SAMPLES:]
    before = np.random.default_rng(1).normal(0, 0.1, 16_000).astype(np.float32)
    assert model.probability(np.concatenate((before, last))) == model.probability(last)


def test_threads_share_the_model(model):
    sounds = [speak(QUESTION)[: 8_000 * (1 + index % 3)] for index in range(9)]
    alone = [model.probability(sound) for sound in sounds]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(model.probability, sounds)) == alone


def test_a_file_that_is_no_model_is_refused(tmp_path):
    (tmp_path / "turn.onnx").write_bytes(b"not a model")
    with pytest.raises(CheckpointError, match=r"turn\.onnx"):
        SmartTurn(tmp_path / "turn.onnx")


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(smart_turn, "package_folders", lambda name: [])
    with pytest.raises(CheckpointError, match="not installed") as raised:
        SmartTurn()
    assert "requirements/weights.txt" in raised.value.hint


def test_the_package_is_not_imported():
    code = (
        "import sys; from services.stt.endpoint.smart_turn import SmartTurn; SmartTurn(); "
        "print(*sorted({'pipecat', 'torch', 'transformers'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""
