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
_MAX_CPU_MIB = 1024
"""Memory for pages on a CPU if no setting says otherwise."""
_GPU_SHARE = 0.6
"""Share for pages of the GPU memory that is free once the weights are loaded; programs need buffers and copies too."""
_CONTEXTS_PER_SLOT = 2
"""Full contexts for each slot: one that it runs, and one of cached prefixes."""
_CPU_SLOTS = 4
"""A small checkpoint runs about three requests in real time on two cores; more share the time."""
_MAX_GPU_SLOTS = 512
"""More paced streams than this are bound by the process's Python front end (benchmarks/README.md)."""


def make_device(checkpoint: Checkpoint, options: DeviceOptions) -> FrameDevice:
    """Makes the device for a checkpoint.  It is ready to run: compiled and captured.

    Raises:
        OviyaError: the device cannot run the depth weights that are asked for.
    """
    if checkpoint.device.type == "cuda" and options.program == "auto":
        from services.csm.device.gpu.gpu_device import GpuDevice  # needs Triton

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
    """Chooses how many requests may run at once: a few on a CPU, on a GPU as many as have room for two full contexts.

    Args:
        kv_mib: memory for keys and values; 0: the default share of what is free.
    """
    if checkpoint.device.type != "cuda":
        return _CPU_SLOTS
    slot = _CONTEXTS_PER_SLOT * checkpoint.config.max_pages * page_bytes(checkpoint)
    return max(1, min(_MAX_GPU_SLOTS, (kv_mib * _MIB or _default_bytes(checkpoint)) // slot))


def choose_pages(checkpoint: Checkpoint, slots: int, kv_mib: int) -> int:
    """How many pages fit `kv_mib` MiB; if that is 0, two full contexts for each slot or what the memory allows.

    Raises:
        OviyaError: not even one full context fits.
    """
    each, whole = page_bytes(checkpoint), checkpoint.config.max_pages
    if kv_mib:
        if kv_mib * _MIB < whole * each:
            raise OviyaError(
                f"{kv_mib} MiB hold no full context", hint=f"it takes {math.ceil(whole * each / _MIB)} MiB"
            )
        return kv_mib * _MIB // each
    return max(whole, min(slots * whole * _CONTEXTS_PER_SLOT, _default_bytes(checkpoint) // each))


def _default_bytes(checkpoint: Checkpoint) -> int:
    """Memory for keys and values if no setting says otherwise."""
    if checkpoint.device.type != "cuda":
        return _MAX_CPU_MIB * _MIB
    free, _ = torch.cuda.mem_get_info(checkpoint.device)
    return int(free * _GPU_SHARE)
