"""Where an operator marks generated speech: the interface of a watermark, and how the decoder applies one.

Everything that Mimi decodes leaves through the mark that `MIMI_WATERMARK` names, or as it is where none is named.  The
setting is "module:factory"; the factory is called once, at start, as `factory(sample_rate_hz=24000, key="...")` with
`MIMI_WATERMARK_KEY`, and returns a `Watermark`.  `services.mimi.spread_spectrum` is one; an operator's own lies on the
Python path.  A mark that cannot be loaded stops the service at start; one that fails stops the utterance: sound never
leaves unmarked where a mark is set.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol

import numpy as np

from oviya.errors import OviyaError

if TYPE_CHECKING:
    from oviya.audio.pcm import Pcm


class WatermarkError(OviyaError):
    """A watermark cannot be loaded, or failed on an utterance, whose sound is withheld from there on."""


class StreamWatermark(Protocol):
    """Marks one utterance."""

    def mark(self, samples: Pcm) -> Pcm:
        """The utterance's next samples -> as many marked ones.

        Called in order, from one thread, between two steps of the decoder: what it takes, every stream waits for.  The
        pieces are whole frames of any number; where they are cut must not matter.

        Args:
            samples: (samples,) float32 at the factory's rate, full scale 1.0.  Not to be written into.

        Returns:
            (samples,) float32, finite; no look-ahead, so sample i is the marked sample i.
        """
        ...


class Watermark(Protocol):
    """A way of marking, shared by all utterances."""

    @property
    def name(self) -> str:
        """What callers are told is in the sound, e.g. "spread-spectrum"; never the key."""
        ...

    def start(self) -> StreamWatermark:
        """Begins an utterance."""
        ...


class WatermarkFactory(Protocol):
    """What `MIMI_WATERMARK` names."""

    def __call__(self, *, sample_rate_hz: int, key: str) -> Watermark:
        """Makes the watermark; an `OviyaError` says in one line why it cannot."""
        ...


def load_watermark(spec: str, *, sample_rate_hz: int, key: str) -> Watermark | None:
    """Makes the watermark that a setting names.

    Args:
        spec: "module:factory", or empty for none.
        sample_rate_hz: of the sound to mark.
        key: the operator's secret; empty where the mark needs none.

    Raises:
        WatermarkError: there is no such factory, or it failed.
    """
    if not spec:
        return None
    module, _, attribute = spec.partition(":")
    if not module or not attribute:
        raise WatermarkError(f"watermark {spec!r} must be 'module:factory'")
    try:
        factory: WatermarkFactory = getattr(importlib.import_module(module), attribute)
        watermark = factory(sample_rate_hz=sample_rate_hz, key=key)
        name = watermark.name
    except OviyaError:
        raise
    except Exception as error:  # foreign code: whatever it raises, the service must not start without its mark
        raise WatermarkError(f"watermark {spec!r} cannot be loaded: {type(error).__name__}: {error}") from error
    if not name:
        raise WatermarkError(f"watermark {spec!r} must have a name")
    return watermark


class SlotMarks:
    """The utterances of a batch, each in a slot, and their marks.

    Args:
        watermark: None leaves sound as it is.
    """

    def __init__(self, watermark: Watermark | None) -> None:
        self._watermark = watermark
        self._streams: dict[int, StreamWatermark] = {}
        self._failed: set[int] = set()

    def reset(self, slot: int) -> None:
        """A new utterance begins in `slot`; its mark starts with its first samples."""
        self._streams.pop(slot, None)
        self._failed.discard(slot)

    def mark(self, slot: int, samples: Pcm) -> Pcm:
        """The next samples of the utterance in `slot`, marked.

        Raises:
            WatermarkError: the mark failed, now or before in this utterance.
        """
        if self._watermark is None:
            return samples
        name = self._watermark.name
        if slot in self._failed:  # the mark has lost its place, so the rest of the utterance cannot have it either
            raise WatermarkError(f"watermark {name!r} failed earlier in this utterance")
        view = samples.view()
        view.setflags(write=False)
        try:
            if slot not in self._streams:
                self._streams[slot] = self._watermark.start()
            marked = self._streams[slot].mark(view)
            if not isinstance(marked, np.ndarray) or marked.dtype != np.float32 or marked.shape != samples.shape:
                found = f"{getattr(marked, 'dtype', type(marked).__name__)} {getattr(marked, 'shape', '')}"
                raise TypeError(f"gave {found} for float32 {samples.shape}")
            if not np.isfinite(marked).all():
                raise ValueError("gave a sample that is not a finite number")
        except Exception as error:  # foreign code: whatever it raises, unmarked sound must not leave
            self._failed.add(slot)
            raise WatermarkError(f"watermark {name!r} failed: {type(error).__name__}: {error}") from error
        return marked
