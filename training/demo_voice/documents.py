"""Training data of the CSM: short conversations, laid out like prompts and packed into rows.

A document is zero to four segments of context and one more, all of them text, frames, end frame.  It teaches that

* a known speaker id is a voice; an unknown one is whoever spoke under it before;
* a style token is a style; without one, the style goes on as in the segment before (neutral, where there is none);
* segments of the context carry no style token, as in a request.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset

from services.csm.model.config import END_CODE
from services.csm.request.prompt import NO_TEXT
from services.csm.request.tokenizer import TextTokenizer
from training.demo_voice.corpus import Item
from training.demo_voice.voices import ANONYMOUS_IDS

CONTEXT_SHARES = (0.25, 0.30, 0.20, 0.15, 0.10)
"""Shares of the documents with 0, 1, 2, 3 and 4 segments of context."""
KNOWN_ID_SHARE = 0.75
STYLE_SHARE = 0.75
OTHER_VOICE_SHARE = 0.2
"""Share of the documents in which a second speaker takes part."""
TEXT_ONLY_SHARE = 0.15
"""Share of the second speaker's segments that have only text."""


@dataclass(frozen=True)
class Utterances:
    """The utterances from which documents are composed.

    Attributes:
        items: their texts, speakers and styles.
        codes: (frames, Q), of all utterances, one after the other.
        phones: (frames, 2).
        starts: (N + 1,) start of each.
    """

    items: Sequence[Item]
    codes: NDArray[np.uint16]
    phones: NDArray[np.uint8]
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.items)


@dataclass
class Row:
    """Positions of several documents, one after the other.

    Attributes:
        text: (P,) token ids, NO_TEXT at frames.
        codes: (P, Q), zeros at texts.
        phones: (P, 2).
        document: (P,) number within the row, -1 behind the last.
    """

    text: NDArray[np.int64]
    codes: NDArray[np.int64]
    phones: NDArray[np.int64]
    document: NDArray[np.int64]


class Writer:
    """Composes documents.

    Args:
        utterances: the corpus.
        tokenizer: of the model.
        chosen: numbers of the utterances to use.
    """

    def __init__(self, utterances: Utterances, tokenizer: TextTokenizer, chosen: Sequence[int]) -> None:
        self._all, self._tokenizer = utterances, tokenizer
        self._groups: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        self._known: list[int] = []
        self._anonymous: list[int] = []
        for number in chosen:
            item = utterances.items[number]
            if item.group not in self._groups:
                (self._known if item.speaker >= 0 else self._anonymous).append(item.group)
            self._groups[item.group][item.style].append(number)

    def documents(self, seed: int) -> Iterator[list[tuple[NDArray[np.int64], int | None]]]:
        """Yields documents endlessly: segments, each the ids of its text and the number of its utterance or None."""
        random = np.random.default_rng(seed)
        while True:
            yield self._document(random)

    def _document(self, random: np.random.Generator) -> list[tuple[NDArray[np.int64], int | None]]:
        known = bool(self._known) and (not self._anonymous or random.random() < 0.55)
        group = int(random.choice(self._known if known else self._anonymous))
        styles = self._groups[group]
        named = known and random.random() < KNOWN_ID_SHARE
        before = int(random.choice(len(CONTEXT_SHARES), p=CONTEXT_SHARES))
        if not named:
            before = max(before, 1)
        speaker = group if named else int(random.choice(ANONYMOUS_IDS))
        picks = [self._pick(random, styles) for _ in range(before)]
        style = ""
        if random.random() < STYLE_SHARE:
            style = str(random.choice(list(styles)))
            target = int(random.choice(styles[style]))
        else:  # keeps the style
            like = self._all.items[picks[-1]].style if picks else "neutral"
            if like not in styles:
                like = style = str(random.choice(list(styles)))
            target = int(random.choice(styles[like]))
        segments = [self._segment(pick, speaker) for pick in picks]
        if random.random() < OTHER_VOICE_SHARE and before:
            other = int(random.choice(self._known or self._anonymous))
            if other != group:
                name = other if random.random() < 0.5 and self._known else int(random.choice(ANONYMOUS_IDS))
                if name != speaker:
                    segment = self._segment(self._pick(random, self._groups[other]), name)
                    if random.random() < TEXT_ONLY_SHARE:
                        segment = (segment[0], None)
                    segments.insert(int(random.integers(1, before + 1)), segment)
        return [*segments, self._segment(target, speaker, style)]

    def _pick(self, random: np.random.Generator, styles: dict[str, list[int]]) -> int:
        return int(random.choice(styles[str(random.choice(list(styles)))]))

    def _segment(self, number: int, speaker: int, style: str = "") -> tuple[NDArray[np.int64], int | None]:
        ids = self._tokenizer.encode_segment(self._all.items[number].text, speaker, style)
        return np.asarray(ids, np.int64), number

    def rows(self, positions: int, seed: int) -> Iterator[Row]:
        """Yields rows of `positions` positions endlessly."""
        row, at, number = self._blank(positions), 0, 0
        for document in self.documents(seed):
            length = sum(len(ids) + (self._frames(n) + 1 if n is not None else 0) for ids, n in document)
            if length > positions:
                continue
            if at + length > positions:
                yield row
                row, at, number = self._blank(positions), 0, 0
            row.document[at : at + length] = number
            number += 1
            for ids, utterance in document:
                row.text[at : at + len(ids)] = ids
                at += len(ids)
                if utterance is None:
                    continue
                start, stop = self._all.starts[utterance], self._all.starts[utterance + 1]
                frames = int(stop - start)
                row.codes[at : at + frames] = self._all.codes[start:stop]
                row.codes[at + frames] = END_CODE
                row.phones[at : at + frames] = self._all.phones[start:stop]
                row.text[at : at + frames + 1] = NO_TEXT
                at += frames + 1

    def _frames(self, number: int) -> int:
        return int(self._all.starts[number + 1] - self._all.starts[number])

    def _blank(self, positions: int) -> Row:
        codebooks = self._all.codes.shape[1]
        return Row(
            text=np.zeros(positions, np.int64),
            codes=np.zeros((positions, codebooks), np.int64),
            phones=np.zeros((positions, 2), np.int64),
            document=np.full(positions, -1, np.int64),
        )


class _Rows(IterableDataset[dict[str, torch.Tensor]]):
    def __init__(self, writer: Writer, positions: int, seed: int) -> None:
        self._writer, self._positions, self._seed = writer, positions, seed

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        worker = torch.utils.data.get_worker_info()
        seed = self._seed * 1000 + (worker.id if worker else 0)
        for row in self._writer.rows(self._positions, seed):
            yield {name: torch.from_numpy(value) for name, value in vars(row).items()}


def batches(
    writer: Writer, batch: int, positions: int, *, seed: int, workers: int
) -> Iterator[dict[str, torch.Tensor]]:
    """Yields batches of rows endlessly, made by other processes: text (B, P), codes (B, P, Q), phones (B, P, 2),
    document (B, P)."""
    loader = DataLoader(
        _Rows(writer, positions, seed), batch_size=batch, num_workers=workers, pin_memory=torch.cuda.is_available(),
        prefetch_factor=4 if workers else None,
    )  # fmt: skip
    yield from loader
