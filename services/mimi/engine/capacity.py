"""How many streams an engine runs at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from services.mimi.model.mimi import Mimi

STEP_FRAMES = 8
"""Longest step of a stream in RVQ frames, 0.64 s: a long clip reads the weights once for eight frames."""

_CPU_DECODE, _CPU_ENCODE = 8, 4
_MOST_GPU_DECODE = 512
"""As many as the CSM service generates at once on a large GPU."""
_ENCODED_SHARE = 4
"""Decode streams per encode stream: only reference clips and users' recordings are encoded."""
_SHARE_OF_GPU = 0.25
"""Share of the free memory; CSM usually runs on the same GPU and takes most of it."""
_STATE_TIMES = 3
"""Memory of a stream as a multiple of its state: the state itself and the activations of its row of a step."""


@dataclass(frozen=True)
class Capacity:
    """Most streams at once in each direction."""

    decode_streams: int
    encode_streams: int


def choose_capacity(model: Mimi, decode_streams: int | None, encode_streams: int | None) -> Capacity:
    """Fills in what is None: a few streams on a CPU, as many as fit a quarter of the free memory on a GPU."""
    if model.device.type != "cuda":
        return Capacity(decode_streams or _CPU_DECODE, encode_streams or _CPU_ENCODE)
    if decode_streams is None:
        free, _ = torch.cuda.mem_get_info(model.device)
        room = int(free * _SHARE_OF_GPU) // (_STATE_TIMES * stream_bytes(model))
        decode_streams = max(1, min(_MOST_GPU_DECODE, room))
    return Capacity(decode_streams, encode_streams or max(1, decode_streams // _ENCODED_SHARE))


def stream_bytes(model: Mimi) -> int:
    """Returns the size of one decode stream's state."""
    state = model.decoder.new_state(1, STEP_FRAMES, model.device)
    tensors = [state.positions, state.resampling, *state.seanet, *state.kv.rings]
    return sum(tensor.nbytes for tensor in tensors)
