"""RVQ frames: conversion between messages and arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oviya.errors import InvalidInput
from oviya.v1 import common_pb2

Codes = NDArray[np.int64]
"""RVQ codes, shape (T, Q): T frames of Q codebooks."""

FRAME_S = 0.080
"""Length of a frame in seconds: Mimi has 12.5 frames a second (kyutai/mimi, config.json)."""
MAX_CODEBOOKS = 32


def pack_frames(codes: Codes) -> common_pb2.RvqFrames:
    """Packs codes, shape (T, Q), into a message."""
    return common_pb2.RvqFrames(codebooks=codes.shape[1], codes=codes.reshape(-1).tolist())


def unpack_frames(
    message: common_pb2.RvqFrames, field: str, *, codebooks: int | None, codebook_size: int, max_frames: int
) -> Codes:
    """Reads a message as codes, shape (T, Q).

    Args:
        message: the frames.
        field: path of the message in its request, for errors.
        codebooks: expected number of codebooks; None: any from 1 to 32.
        codebook_size: codes must be less.
        max_frames: maximum number of frames.

    Raises:
        InvalidInput: wrong number of codebooks, incomplete frame, code out of range, or too many frames.
    """
    count = message.codebooks
    if codebooks is not None and count != codebooks:
        raise InvalidInput(f"{field}.codebooks", count, f"must be {codebooks}")
    if not 1 <= count <= MAX_CODEBOOKS:
        raise InvalidInput(f"{field}.codebooks", count, f"must be 1 to {MAX_CODEBOOKS}")
    if len(message.codes) % count:
        raise InvalidInput(f"{field}.codes", f"{len(message.codes)} codes", f"must be whole frames of {count} codes")
    if len(message.codes) > max_frames * count:
        raise InvalidInput(f"{field}.codes", f"{len(message.codes) // count} frames", f"at most {max_frames} frames")
    codes = np.fromiter(message.codes, np.int64, len(message.codes))
    if len(codes) and int(codes.max()) >= codebook_size:
        at = int(np.argmax(codes >= codebook_size))
        raise InvalidInput(f"{field}.codes[{at}]", codes[at], f"must be 0 to {codebook_size - 1}")
    return codes.reshape(-1, count)
