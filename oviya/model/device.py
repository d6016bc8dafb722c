"""Where a model runs.  Only the services that run torch import this."""

from __future__ import annotations

import torch

from oviya.errors import OviyaError


def choose_device(name: str) -> torch.device:
    """Reads the setting of a device: "auto" (the first GPU, else the CPU) or a torch device such as "cuda:1".

    Raises:
        OviyaError: torch does not know it, or the machine has none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        reason = str(error).strip().splitlines()[0]
        raise OviyaError(f"device {name!r} cannot be used: {reason}", hint="'auto' takes what there is") from error
    return device


def still_works(device: torch.device) -> bool:
    """Whether a device that failed can be used again.

    After some CUDA errors (an illegal address, an uncorrectable memory error, a GPU that fell off the bus) every call
    of the process fails for good, this one too; after others, such as too little memory, the next call may succeed.
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
