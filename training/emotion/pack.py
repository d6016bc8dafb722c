"""Writes the model for the service: `weights.npz`, `config.json` and the cards."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oviya.model.checkpoint import ModelCard, write_card
from services.emotion.words.text_model import WEIGHTS_FILE
from training.emotion.calibrate import Calibration
from training.emotion.linear import Vocabulary
from training.emotion.recurrent import Network

MAX_FEATURES = 130_000
"""Features of the linear model that are kept, those with the largest weights."""

Arrays = dict[str, NDArray[Any]]


def pack_linear(vocabulary: Vocabulary, weights: NDArray[np.float32], bias: NDArray[np.float32]) -> Arrays:
    """Keeps the `MAX_FEATURES` most important features; the weights of a label share one scale."""
    importance = np.abs(weights * vocabulary.idf[:, None]).max(axis=1)
    kept = np.sort(np.argsort(-importance, kind="stable")[:MAX_FEATURES])
    weights = weights[kept]
    scale = np.abs(weights).max(axis=0) / 127
    return {
        "linear_keys": vocabulary.keys[kept],
        "linear_idf": vocabulary.idf[kept].astype(np.float16),
        "linear_weights": np.rint(weights / scale).astype(np.int8),
        "linear_scale": np.asarray(scale, np.float32),
        "linear_bias": bias.astype(np.float32),
    }


def pack_networks(networks: Sequence[Network], keys: NDArray[np.uint32]) -> Arrays:
    """Stacks the networks; each vector of 8-bit numbers has a scale of its own."""
    states = [{name: tensor.numpy() for name, tensor in network.state_dict().items()} for network in networks]

    def stacked(name: str) -> NDArray[np.float32]:
        return np.stack([state[name] for state in states])

    def both_ways(name: str) -> NDArray[np.float32]:
        return np.concatenate([stacked(f"gru.{name}_l0"), stacked(f"gru.{name}_l0_reverse")])

    words, word_scale = _in_bytes(stacked("word.weight"))
    pieces, piece_scale = _in_bytes(stacked("piece.weight")[:, 1:])  # row 0 is padding
    return {
        "word_keys": keys,
        "word_vectors": words,
        "word_scale": word_scale,
        "piece_vectors": pieces,
        "piece_scale": piece_scale,
        "gru_input": both_ways("weight_ih").swapaxes(1, 2).astype(np.float16),
        "gru_input_bias": both_ways("bias_ih").astype(np.float16),
        "gru_state": both_ways("weight_hh").swapaxes(1, 2).astype(np.float16),
        "gru_state_bias": both_ways("bias_hh").astype(np.float16),
        "head": stacked("head.weight").swapaxes(1, 2).astype(np.float16),
        "head_bias": stacked("head.bias").astype(np.float16),
    }


def pack_calibration(calibration: Calibration) -> Arrays:
    return {
        "mix_share": np.array(calibration.share, np.float32),
        "calibration_slope": calibration.slope.astype(np.float32),
        "calibration_offset": calibration.offset.astype(np.float32),
        "thresholds": calibration.thresholds.astype(np.float32),
    }


def write_model(folder: Path, labels: Sequence[str], arrays: Arrays) -> None:
    """Writes weights and config."""
    folder.mkdir(parents=True, exist_ok=True)
    named: dict[str, Any] = dict(arrays)
    np.savez_compressed(folder / WEIGHTS_FILE, **named)
    (folder / "config.json").write_text(json.dumps({"labels": list(labels)}, indent=2) + "\n", "utf-8")


def write_cards(folder: Path, figures: dict[str, Any]) -> None:
    """Writes the card for programs and the one for people."""
    description = "28 emotions in English text: logistic regression and small GRUs, trained on GoEmotions"
    write_card(folder, ModelCard(name="oviya-emotion", license="Apache-2.0", description=description))
    rows = "\n".join(f"| {label} | {f1:.2f} |" for label, f1 in figures["by_label"].items())
    text = _CARD.format(**figures, rows=rows)
    (folder / "README.md").write_text(text, "utf-8")


def _in_bytes(vectors: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    scale = np.maximum(np.abs(vectors).max(axis=-1, keepdims=True) / 127, 1e-7).astype(np.float16)
    scale = np.maximum(scale, np.float16(1e-7))
    return np.rint(np.clip(vectors / scale, -127, 127)).astype(np.int8), scale


_CARD = """# oviya-emotion

Predicts GoEmotions' 28 labels for an English sentence.  Logistic regression over words, phrases and letters
({features:,} features), and {networks} recurrent networks over words;
`services/emotion/words/text_model.py` runs both in numpy.

| | |
|---|---|
| macro-F1 over 28 labels, dev.tsv | {dev_macro_f1:.3f} |
| the same, sentences as speech-to-text writes them (lower case, no punctuation) | {spoken_macro_f1:.3f} |
| macro-F1 on the training texts, each by models that were not trained on it | {unseen_macro_f1:.3f} |
| micro-F1, dev.tsv | {dev_micro_f1:.3f} |
| size of the weights | {megabytes:.1f} MB |

Trained on GoEmotions' train.tsv (Demszky et al. 2020, 43,410 comments from Reddit, Apache-2.0), which is not part of
this repository; `make emotion-model GOEMOTIONS=folder` makes the model again.  Mixing, calibration and thresholds were
decided on train.tsv alone, by cross-validation.  dev.tsv decided none of them, but was looked at while kinds of model
were compared, so its figures are slightly optimistic.

It is for English, one sentence or a few.  Most of its training texts were written by young men in the United States,
and it shares their views.  It must not be used to assess a person's health.

| label | F1 on dev.tsv |
|---|---|
{rows}
"""
