"""Trains the sentence-end model of services/stt/endpoint/sentence_end.py.

    pip install scikit-learn
    python -m training.sentence_end FOLDER

FOLDER has GoEmotions' train.tsv and dev.tsv (Demszky et al. 2020, Apache-2.0), of which only the texts are used, not
the labels.  A sentence that ends with a full stop, an exclamation mark or a question mark is a positive example, and
its prefixes are negative ones.  Writes services/stt/endpoint/data/sentence_end.npz and prints, for the dev sentences,
the recall at several false-positive rates.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix  # pyright: ignore[reportMissingImports]
from sklearn.linear_model import LogisticRegression  # pyright: ignore[reportMissingImports]

from services.stt.endpoint.sentence_end import MODEL_FILE, bucket, features

BUCKETS = 1 << 17
MAX_WORDS = 25
PREFIXES = 4
"""Most prefixes of a sentence that are used."""
REGULARIZATION = 0.3
"""Inverse strength (C) of the L2 penalty; 0.1, 0.3 and 1 give nearly the same recall."""


def sentences(path: Path) -> Iterator[list[str]]:
    """Yields the words of every complete sentence without digits, links and quotations."""
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.split("\t")[0].replace("\u2019", "'").replace("[NAME]", "anna").replace("[RELIGION]", "church")
        if re.search(r"http|/r/|\*|>|&|\d", text):
            continue
        for sentence in re.split(r"(?<=[.!?])\s+", text.strip()):
            words = [re.sub(r"[^a-z']", "", token.lower()).strip("'") for token in sentence.split()]
            words = [word for word in words if word]
            if 1 <= len(words) <= MAX_WORDS and sentence[-1] in ".!?":
                yield words


def examples(path: Path, draw: random.Random) -> tuple[list[list[int]], list[int]]:
    """Returns the buckets of every example, and whether it is a whole sentence."""
    rows, ends = [], []
    for words in sentences(path):
        prefixes = draw.sample(range(1, len(words)), min(PREFIXES, len(words) - 1))
        for count in (len(words), *prefixes):
            rows.append([bucket(feature, BUCKETS) for feature in features(words[:count])])
            ends.append(int(count == len(words)))
    return rows, ends


def matrix(rows: list[list[int]]) -> csr_matrix:
    columns = np.array(rows).ravel()
    starts = np.arange(0, len(columns) + 1, len(rows[0]))
    return csr_matrix((np.ones(len(columns), np.float32), columns, starts), shape=(len(rows), BUCKETS))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("data", type=Path, help="folder with train.tsv and dev.tsv")
    data, draw = arguments.parse_args().data, random.Random(0)
    rows, ends = examples(data / "train.tsv", draw)
    model = LogisticRegression(C=REGULARIZATION, solver="liblinear", max_iter=60).fit(matrix(rows), ends)
    weights = model.coef_[0]
    scale = np.abs(weights).max() / 127
    stored = np.round(weights / scale).astype(np.int8)
    np.savez_compressed(MODEL_FILE, weights=stored, scale=scale, bias=model.intercept_[0])
    rows, ends = examples(data / "dev.tsv", draw)
    scores = matrix(rows) @ (stored * scale) + model.intercept_[0]
    is_end = np.array(ends, bool)
    for rate in (0.02, 0.05, 0.1, 0.2, 0.3):
        threshold = np.quantile(scores[~is_end], 1 - rate)
        found = (scores[is_end] > threshold).mean()
        print(
            f"{rate:4.0%} of the prefixes taken for ends: {found:5.1%} of the ends found, score above {threshold:.2f}"
        )


if __name__ == "__main__":
    main()
