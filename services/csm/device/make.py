"""Makes the device for a checkpoint, and chooses how many slots and pages it has."""

from __future__ import annotations

import math

import torch

from oviya.errors import OviyaError
from services.csm.checkpoint import Checkpoint
from services.csm.device.contract import DeviceOptions, FrameDevice
from services.csm.device.torch_device import TorchDevice
from services.csm.model.config import PAGE

_MIB = 1 << 20
_MOST_CPU_MIB = 1024
"""What the pages may take of a CPU's memory where no setting says."""
_SHARE_OF_GPU = 0.6
"""And of what is free on a GPU once the weights are there: a program has buffers and copies of its own."""
_ROWS_KEPT = 2
"""Full rows for each slot: one that it runs, and one of earlier prompts to find prefixes in."""
_CPU_SLOTS = 4
"""A small checkpoint speaks about three requests in real time on two cores; more share what there is."""
_MOST_GPU_SLOTS = 512
"""One process sends some 680 paced streams over gRPC before its Python front is the limit (benchmarks/README.md)."""


def make_device(checkpoint: Checkpoint, options: DeviceOptions) -> FrameDevice:
    """Makes the device for a checkpoint, ready to run: what it compiles or captures is done when this returns.

    Raises:
        OviyaError: the device cannot run the depth weights that are asked for.
    """
    if checkpoint.device.type == "cuda" and options.program == "auto":
        from services.csm.device.gpu.gpu_device import GpuDevice  # needs triton

        return GpuDevice(checkpoint.model, options)
    if options.depth_weights != "auto":
        raise OviyaError(
            f"depth weights in {options.depth_weights} need a GPU and the program 'auto'", hint="'auto' runs anywhere"
        )
    return TorchDevice(checkpoint.model, options)


def page_bytes(checkpoint: Checkpoint) -> int:
    """Memory of one page: keys and values of PAGE positions in every layer of the backbone."""
    sizes = checkpoint.config.backbone
    return 2 * sizes.layers * PAGE * sizes.kv_heads * sizes.head_dim * checkpoint.dtype.itemsize


def choose_slots(checkpoint: Checkpoint, kv_mib: int) -> int:
    """Chooses how many requests may run at once on the checkpoint's device.

    A CPU gets a few.  A GPU gets as many as have room for two full contexts each in `kv_mib` MiB, or, where that is 0,
    in the share of its free memory that `choose_pages` takes.
    """
    if checkpoint.device.type != "cuda":
        return _CPU_SLOTS
    row = _ROWS_KEPT * checkpoint.config.max_pages * page_bytes(checkpoint)
    return max(1, min(_MOST_GPU_SLOTS, (kv_mib * _MIB or _bearable_bytes(checkpoint)) // row))


def choose_pages(checkpoint: Checkpoint, rows: int, kv_mib: int) -> int:
    """How many pages fit `kv_mib` MiB; where that is 0, as many as are of use and the memory bears.

    Raises:
        OviyaError: not even one row fits.
    """
    each, whole = page_bytes(checkpoint), checkpoint.config.max_pages
    if kv_mib:
        if kv_mib * _MIB < whole * each:
            raise OviyaError(
                f"{kv_mib} MiB hold no full context", hint=f"it takes {math.ceil(whole * each / _MIB)} MiB"
            )
        return kv_mib * _MIB // each
    return max(whole, min(rows * whole * _ROWS_KEPT, _bearable_bytes(checkpoint) // each))


def _bearable_bytes(checkpoint: Checkpoint) -> int:
    """Memory that keys and values may take where no setting says."""
    if checkpoint.device.type != "cuda":
        return _MOST_CPU_MIB * _MIB
    free, _ = torch.cuda.mem_get_info(checkpoint.device)
    return int(free * _SHARE_OF_GPU)
