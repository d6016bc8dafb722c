"""Small recurrent networks over the words of a text.

A word is the sum of its own vector and the mean vector of its letter sequences, so that rare and misspelled words have
a useful vector as well.  A bidirectional GRU reads the words; a linear layer predicts the labels from its largest and
mean outputs and the mean word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from services.emotion.words.text_features import key_of, words_of
from services.emotion.words.text_model import MAX_WORDS, PIECES, UNKNOWN, pieces_of

WIDTH, HIDDEN = 96, 96
"""Length of a word's vector; outputs of the GRU in each direction."""
MIN_TEXTS = 4
"""Least number of texts with a word that gets a vector of its own."""
EPOCHS, BATCH, TOP_RATE, DECAY, WARM_UP = 5, 64, 4e-3, 0.02, 0.15
SPOKEN_SHARE = 0.3
"""Share of the training texts in the form that speech-to-text writes, without capitals and punctuation."""
WORD_DROPOUT, INPUT_DROPOUT, OUTPUT_DROPOUT = 0.1, 0.4, 0.5
BALANCE = 0.3

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Encoded:
    """Texts as numbers of distinct words, and the vectors of each number.

    Attributes:
        words: numbers, shape (texts, MAX_WORDS), padded with 0.
        rows: the row of each number's vector, shape (words,).
        pieces: its letter sequences, shape (words, most pieces), padded with 0.
    """

    words: Tensor
    rows: Tensor
    pieces: Tensor

    @property
    def lengths(self) -> NDArray[np.int64]:
        return (self.words > 0).sum(1).numpy()


def learn_words(texts: Sequence[str]) -> NDArray[np.uint32]:
    """Returns the keys of the words that get a vector of their own, sorted."""
    counts = Counter(word for text in texts for word in set(words_of(text)))
    return np.array(sorted({key_of(word) for word, count in counts.items() if count >= MIN_TEXTS}), np.uint32)


def encode(texts: Sequence[str], keys: NDArray[np.uint32]) -> Encoded:
    """Encodes texts for the networks."""
    split = [words_of(text)[-MAX_WORDS:] for text in texts]
    distinct = sorted({word for words in split for word in words})
    number = {word: index + 1 for index, word in enumerate(distinct)}
    row_of = {int(key): index + UNKNOWN + 1 for index, key in enumerate(keys)}
    pieces = [pieces_of(word) for word in distinct]
    words_table = np.zeros((len(texts), MAX_WORDS), np.int64)
    piece_table = np.zeros((len(distinct) + 1, max(map(len, pieces))), np.int64)
    for row, words in enumerate(split):
        words_table[row, : len(words)] = [number[word] for word in words]
    for row, some in enumerate(pieces, 1):
        piece_table[row, : len(some)] = np.array(some) + 1
    rows = np.array([0, *(row_of.get(key_of(word), UNKNOWN) for word in distinct)])
    return Encoded(torch.from_numpy(words_table), torch.from_numpy(rows), torch.from_numpy(piece_table))


class Network(nn.Module):
    """One network.

    Args:
        words: rows of the table of word vectors, including padding and unknown words.
        labels: number of labels.
    """

    def __init__(self, words: int, labels: int) -> None:
        super().__init__()
        self.word = nn.Embedding(words, WIDTH, padding_idx=0)
        self.piece = nn.EmbeddingBag(PIECES + 1, WIDTH, mode="mean", padding_idx=0)
        nn.init.normal_(self.word.weight, 0, 0.1)
        nn.init.normal_(self.piece.weight, 0, 0.1)
        with torch.no_grad():
            self.word.weight[0] = 0
            self.piece.weight[0] = 0
        self.gru = nn.GRU(WIDTH, HIDDEN, batch_first=True, bidirectional=True)
        self.head = nn.Linear(4 * HIDDEN + WIDTH, labels)

    def forward(self, words: Tensor, encoded: Encoded) -> Tensor:
        """Returns scores, shape (B, labels), of texts, shape (B, T)."""
        present = words > 0
        mask = present.float().unsqueeze(-1)
        rows = encoded.rows[words]
        if self.training:
            rows = rows.masked_fill((torch.rand(words.shape) < WORD_DROPOUT) & present, UNKNOWN)
        distinct, inverse = torch.unique(words, return_inverse=True)
        vectors = self.word(rows) + self.piece(encoded.pieces[distinct])[inverse]
        vectors = F.dropout(vectors, INPUT_DROPOUT, self.training) * mask
        lengths = present.sum(1).clamp(min=1)
        packed = nn.utils.rnn.pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
        outputs, _ = nn.utils.rnn.pad_packed_sequence(
            self.gru(packed)[0], batch_first=True, total_length=words.shape[1]
        )
        largest = (outputs - 1e4 * (1 - mask)).amax(1)
        mean, mean_word = ((x * mask).sum(1) / lengths[:, None] for x in (outputs, vectors))
        summary = torch.cat([largest, mean, mean_word], 1)
        return self.head(F.dropout(summary, OUTPUT_DROPOUT, self.training))


def train(encoded: Encoded, labels: NDArray[np.int8], chosen: NDArray[np.int64], words: int, seed: int) -> Network:
    """Trains a network.

    Args:
        encoded: all texts, followed by all texts as they are spoken.
        labels: their labels, shape (texts, labels).
        chosen: numbers of the texts to train on.
        words: rows of the table of word vectors.
        seed: of all random numbers.
    """
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    targets, lengths = torch.from_numpy(labels).float(), encoded.lengths
    weight = ((1 - targets).sum(0) / targets.sum(0)) ** BALANCE
    network = Network(words, labels.shape[1])
    optimizer = torch.optim.AdamW(network.parameters(), TOP_RATE, weight_decay=DECAY)
    steps = EPOCHS * -(-len(chosen) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, TOP_RATE, total_steps=steps + 1, pct_start=WARM_UP)
    for _ in range(EPOCHS):
        network.train()
        # Texts of similar length share a batch, which varies from epoch to epoch.
        order = random.permutation(chosen)
        order = order[np.argsort(lengths[order] + 4 * random.random(len(order)), kind="stable")]
        batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
        for number in random.permutation(len(batches)):
            batch = batches[number]
            rows = batch + len(labels) * (random.random(len(batch)) < SPOKEN_SHARE)
            words_in = encoded.words[rows, : max(int(lengths[rows].max()), 1)]
            loss = F.binary_cross_entropy_with_logits(network(words_in, encoded), targets[batch], pos_weight=weight)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return network.eval()


@torch.no_grad()
def scores_of(network: Network, encoded: Encoded, rows: NDArray[np.int64]) -> Floats:
    """Returns scores, shape (rows, labels)."""
    parts = [network(encoded.words[rows[start : start + 256]], encoded) for start in range(0, len(rows), 256)]
    return torch.cat(parts).numpy()
