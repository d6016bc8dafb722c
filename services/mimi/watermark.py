"""The interface of watermarks for generated speech, and how the decoder applies one.

If `MIMI_WATERMARK` is set, all sound that Mimi decodes is marked.  The setting is "module:factory".  The factory is
called once, at start, as `factory(sample_rate_hz=24000, key="...")` with `MIMI_WATERMARK_KEY`, and returns a
`Watermark`.  `services.mimi.spread_spectrum` has one; an operator's own module must be on the Python path.  The service
does not start if the watermark cannot be loaded, and an utterance ends if marking fails: with a watermark set, the
service never sends unmarked sound.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol

import numpy as np

from oviya.errors import OviyaError

if TYPE_CHECKING:
    from oviya.audio.pcm import Pcm


class WatermarkError(OviyaError):
    """A watermark cannot be loaded, or failed on an utterance; the rest of its sound is withheld."""


class StreamWatermark(Protocol):
    """Marks one utterance."""

    def mark(self, samples: Pcm) -> Pcm:
        """Marks the next samples of the utterance.

        It is called in order, from one thread, between two steps of the decoder, so that its time delays every stream.
        The samples are any number of whole frames; the result must not depend on how the sound is cut.

        Args:
            samples: (samples,) float32 at the factory's rate, full scale 1.0; read-only.

        Returns:
            (samples,) float32, finite; sample i is the marked sample i.
        """
        ...


class Watermark(Protocol):
    """A watermark, shared by all utterances."""

    @property
    def name(self) -> str:
        """Name that GetModel reports, e.g. "spread-spectrum"; it must not contain the key."""
        ...

    def start(self) -> StreamWatermark:
        """Starts an utterance."""
        ...


class WatermarkFactory(Protocol):
    """What `MIMI_WATERMARK` refers to."""

    def __call__(self, *, sample_rate_hz: int, key: str) -> Watermark:
        """Makes the watermark.

        Raises:
            OviyaError: it cannot; the message is one line.
        """
        ...


def load_watermark(spec: str, *, sample_rate_hz: int, key: str) -> Watermark | None:
    """Makes the watermark of a setting.

    Args:
        spec: "module:factory", or empty for none.
        sample_rate_hz: of the sound to mark.
        key: the operator's secret; empty if the watermark needs none.

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
    except Exception as error:  # code of others: whatever it raises, the service must not start without the watermark
        raise WatermarkError(f"watermark {spec!r} cannot be loaded: {type(error).__name__}: {error}") from error
    if not name:
        raise WatermarkError(f"watermark {spec!r} must have a name")
    return watermark


class SlotMarks:
    """Marks the utterances of the decoder's slots.

    Args:
        watermark: None leaves sound unmarked.
    """

    def __init__(self, watermark: Watermark | None) -> None:
        self._watermark = watermark
        self._streams: dict[int, StreamWatermark] = {}
        self._failed: set[int] = set()

    def reset(self, slot: int) -> None:
        """Starts a new utterance in `slot`."""
        self._streams.pop(slot, None)
        self._failed.discard(slot)

    def mark(self, slot: int, samples: Pcm) -> Pcm:
        """Marks the next samples of the utterance in `slot`.

        Raises:
            WatermarkError: marking failed, now or earlier in this utterance.
        """
        if self._watermark is None:
            return samples
        name = self._watermark.name
        if slot in self._failed:  # the mark is out of step with the sound, so the rest cannot be marked either
            raise WatermarkError(f"watermark {name!r} failed earlier in this utterance")
        view = samples.view()
        view.setflags(write=False)
        try:
            if slot not in self._streams:
                self._streams[slot] = self._watermark.start()
            marked = self._streams[slot].mark(view)
            if not isinstance(marked, np.ndarray) or marked.dtype != np.float32 or marked.shape != samples.shape:
                found = f"{getattr(marked, 'dtype', type(marked).__name__)} {getattr(marked, 'shape', '')}"
                raise TypeError(f"returned {found} for float32 {samples.shape}")
            if not np.isfinite(marked).all():
                raise ValueError("returned a sample that is not finite")
        except Exception as error:  # code of others: whatever it raises, unmarked sound must not be sent
            self._failed.add(slot)
            raise WatermarkError(f"watermark {name!r} failed: {type(error).__name__}: {error}") from error
        return marked
