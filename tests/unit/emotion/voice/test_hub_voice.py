"""The hub backend, with a tiny random wav2vec 2.0 classifier made by the test."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from oviya.errors import CheckpointError
from services.emotion.affect import load_affects
from services.emotion.voice.baseline import NO_BASELINE
from services.emotion.voice.hub_voice import HubDetector
from tests.support.speech import speak

AFFECTS = load_affects()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForSequenceClassification

    folder = tmp_path_factory.mktemp("hub")
    config = Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(8, 8),
        conv_stride=(160, 2),
        conv_kernel=(320, 3),
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        classifier_proj_size=8,
        id2label={0: "Neu", 1: "hap", 2: "ang", 3: "sad"},
        label2id={"Neu": 0, "hap": 1, "ang": 2, "sad": 3},
    )
    Wav2Vec2ForSequenceClassification(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


def test_its_labels_become_emotions(checkpoint):
    detector = HubDetector(str(checkpoint), AFFECTS)
    judgement, baseline = detector.judge(speak("the train leaves at five"), NO_BASELINE)
    assert judgement is not None
    assert set(judgement.shares) == {"neutral", "joyful_excited", "angry_firm", "melancholic"}
    assert sum(judgement.shares.values()) == pytest.approx(1)
    assert baseline == NO_BASELINE
    assert detector.judge(np.zeros(16_000, np.float32), NO_BASELINE)[0] is None
    again, _ = detector.judge(speak("the train leaves at five"), NO_BASELINE)
    assert again == judgement


def test_a_label_that_means_no_emotion_is_refused_by_name(checkpoint, tmp_path):
    for file in checkpoint.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    config["id2label"]["3"] = "LABEL_3"
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(CheckpointError, match="label_3"):
        HubDetector(str(tmp_path), AFFECTS)


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no such folder"):
        HubDetector("./nowhere", AFFECTS)
    with pytest.raises(CheckpointError, match="not an audio classifier"):
        HubDetector(str(tmp_path), AFFECTS)
