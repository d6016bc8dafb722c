"""Devices of models.  Imported only by services that use torch."""

from __future__ import annotations

import torch

from oviya.errors import OviyaError


def choose_device(name: str) -> torch.device:
    """Returns a device by name: "auto" (the first GPU, else the CPU) or a torch device such as "cuda:1".

    Raises:
        OviyaError: torch does not know the device, or the machine has none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        reason = str(error).strip().splitlines()[0]
        raise OviyaError(
            f"device {name!r} cannot be used: {reason}", hint="use 'auto' for the available device"
        ) from error
    return device


def still_works(device: torch.device) -> bool:
    """Whether a device can be used again after a failure.

    After some CUDA errors (an illegal address, an uncorrectable memory error, a lost GPU) all later calls of the
    process fail; after others, such as too little memory, the next call may succeed.
    """
    if device.type != "cuda":
        return True
    try:
        torch.cuda.synchronize(device)
    except torch.OutOfMemoryError:
        return True
    except RuntimeError:
        return False
    return True
