"""`python -m training.emotion DATA`"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from services.emotion.words.text_model import WEIGHTS_FILE, TextModel
from training.emotion import linear, recurrent
from training.emotion.calibrate import calibrate, f1_by_label
from training.emotion.data import FOLDS, Texts, as_spoken, read_labels, read_texts
from training.emotion.pack import pack_calibration, pack_linear, pack_networks, write_cards, write_model

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("data", type=Path, help="folder with train.tsv, dev.tsv and labels.txt")
    arguments.add_argument("--out", type=Path, default=ROOT / "models" / "emotion")
    arguments.add_argument("--threads", type=int, default=1)
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    labels = read_labels(options.data)
    texts = read_texts(options.data / "train.tsv", len(labels))

    print("logistic regression", flush=True)
    blocks = [linear.blocks_of(text) for text in texts.texts]
    vocabulary = linear.learn_vocabulary(blocks)
    features = linear.vectorize(blocks, vocabulary)
    linear_scores = linear.held_out_scores(features, texts.labels, texts.folds())
    arrays = pack_linear(vocabulary, *linear.fit_all(features, texts.labels))

    print("recurrent networks", flush=True)
    networks, network_scores, keys = train_networks(texts)
    arrays |= pack_networks(networks, keys)

    calibration = calibrate(linear_scores, network_scores, texts.labels)
    arrays |= pack_calibration(calibration)
    write_model(options.out, labels, arrays)
    figures = measure(options.out, read_texts(options.data / "dev.tsv", len(labels)))
    figures |= {"unseen_macro_f1": calibration.unseen_macro_f1, "networks": len(networks)}
    figures["features"] = len(arrays["linear_keys"])
    write_cards(options.out, figures)
    print(figures)


def train_networks(texts: Texts) -> tuple[list[recurrent.Network], recurrent.Floats, Any]:
    """Trains one network for each held-out fold.

    Returns:
        The networks, each text's scores by the network that was not trained on it, and the keys of the words.
    """
    keys = recurrent.learn_words(texts.texts)
    encoded = recurrent.encode([*texts.texts, *map(as_spoken, texts.texts)], keys)
    folds, rows = texts.folds(), len(keys) + recurrent.UNKNOWN + 1
    scores = np.zeros(texts.labels.shape, np.float32)
    networks = []
    for fold in range(FOLDS):
        training, held_out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        network = recurrent.train(encoded, texts.labels, training, rows, seed=fold)
        scores[held_out] = recurrent.scores_of(network, encoded, held_out)
        networks.append(network)
        print(f"fold {fold + 1} of {FOLDS}", flush=True)
    return networks, scores, keys


def measure(folder: Path, texts: Texts) -> dict[str, Any]:
    """Measures F1 of the model as the service runs it."""
    model = TextModel.load(folder)

    def chosen(some: list[str]) -> np.ndarray:
        table = np.zeros(texts.labels.shape, bool)
        for row, text in enumerate(some):
            table[row, list(model.score(text).labels)] = True
        return table

    written = chosen(texts.texts)
    spoken = chosen([as_spoken(text) for text in texts.texts])
    by_label = f1_by_label(written, texts.labels)
    right = (written & (texts.labels == 1)).sum()
    return {
        "dev_macro_f1": float(by_label.mean()),
        "dev_micro_f1": float(2 * right / (written.sum() + texts.labels.sum())),
        "spoken_macro_f1": float(f1_by_label(spoken, texts.labels).mean()),
        "by_label": {label: float(f1) for label, f1 in zip(model.labels, by_label, strict=True)},
        "megabytes": (folder / WEIGHTS_FILE).stat().st_size / 1e6,
    }


if __name__ == "__main__":
    main()
