"""What a caller of the engine holds: one stream that is decoded or encoded."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from oviya.audio.pcm import Pcm
from oviya.audio.resample import Resampler
from oviya.errors import InvalidInput, NotReady
from services.mimi.engine.batcher import Job
from services.mimi.model.config import MimiConfig

Codes = NDArray[np.int64]
Submit = Callable[[Job], Future[NDArray[Any]]]
Release = Callable[[int], None]


def check_codebooks(count: int, config: MimiConfig) -> None:
    """Checks a number of codebooks.

    Raises:
        InvalidInput: it is 0, or the checkpoint has fewer.
    """
    if not 1 <= count <= config.codebooks:
        raise InvalidInput("codebooks", count, f"must be 1 to {config.codebooks} with this checkpoint")


class _Stream:
    """Owns a slot until it is closed.  After a failed job its state is not valid any more, and it must be closed."""

    def __init__(self, slot: int, config: MimiConfig, submit: Submit, release: Release) -> None:
        self._slot, self._config = slot, config
        self._submit_job, self._release = submit, release
        self._open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the slot and cancels pending jobs."""
        if self._open:
            self._open = False
            self._release(self._slot)

    def _submit(self, prepare: Callable[[], NDArray[Any]], codebooks: int) -> Future[NDArray[Any]]:
        if not self._open:
            raise NotReady("the stream is closed")
        return self._submit_job(Job(self._slot, prepare, codebooks))


class DecodeStream(_Stream):
    """Turns RVQ frames into sound.

    Attributes:
        codebooks: Q of the frames; None until it is known.
    """

    def __init__(self, slot: int, config: MimiConfig, submit: Submit, release: Release, codebooks: int | None) -> None:
        super().__init__(slot, config, submit, release)
        self.codebooks = codebooks

    def decode(self, codes: Codes) -> Future[Pcm]:
        """Decodes the next frames.

        Args:
            codes: (T, Q), T at least 1.

        Returns:
            Their samples, (T * 1920,), at the checkpoint's rate.

        Raises:
            InvalidInput: there are no frames, the number of codebooks changed, or a code is out of range.
            NotReady: the stream or the engine is closed.
        """
        if codes.ndim != 2 or len(codes) == 0:
            raise InvalidInput("codes", codes.shape, "must be of shape (T, Q) with at least one frame")
        if self.codebooks is None:
            check_codebooks(codes.shape[1], self._config)
            self.codebooks = codes.shape[1]
        if codes.shape[1] != self.codebooks:
            raise InvalidInput("codebooks", codes.shape[1], f"must be {self.codebooks}, as in the first frames")
        size = self._config.codebook_size
        if codes.min() < 0 or codes.max() >= size:  # on a GPU an index out of range would end the process
            raise InvalidInput("codes", codes[(codes < 0) | (codes >= size)][0], f"must be 0 to {size - 1}")
        return self._submit(lambda: codes, self.codebooks)


class EncodeStream(_Stream):
    """Turns sound into RVQ frames."""

    def __init__(
        self, slot: int, config: MimiConfig, submit: Submit, release: Release, sample_rate_hz: int, codebooks: int
    ) -> None:
        super().__init__(slot, config, submit, release)
        self.codebooks = codebooks
        self._resampler = Resampler(sample_rate_hz, config.sample_rate_hz)
        self._remainder = np.zeros(0, np.float32)  # less than a frame; used on the engine's thread

    def encode(self, samples: Pcm) -> Future[Codes]:
        """Encodes the next samples.

        Args:
            samples: (samples,) at the stream's rate.

        Returns:
            The frames that they complete, (T, Q), T 0 or more.

        Raises:
            InvalidInput: a sample is NaN or infinite.
            NotReady: the stream or the engine is closed.
        """
        if not np.isfinite(samples).all():
            raise InvalidInput("samples", samples[~np.isfinite(samples)][0], "samples must be finite numbers")
        return self._submit(lambda: self._frames(self._resampler.push(samples), last=False), self.codebooks)

    def finish(self) -> Future[Codes]:
        """Pads the sound with silence to a whole frame; returns the last frames, (T, Q), T 0 or more."""
        return self._submit(lambda: self._frames(self._resampler.flush(), last=True), self.codebooks)

    def _frames(self, samples: Pcm, *, last: bool) -> NDArray[np.float32]:
        """Returns the complete frames, (T, 1920).  Runs on the engine's thread, because resampling takes time."""
        size = self._config.frame_samples
        samples = np.concatenate((self._remainder, samples))
        if last:
            samples = np.pad(samples, (0, -len(samples) % size))
        whole = len(samples) - len(samples) % size
        self._remainder = samples[whole:]
        return samples[:whole].reshape(-1, size)
