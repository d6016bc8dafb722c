"""Kernels that start before the previous one has ended.

With CUDA's programmatic dependent launch (compute capability 9.0) a kernel may start while its predecessor runs, do
work that does not depend on it, and then wait for its writes.  On other GPUs kernels are launched as usual.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

EARLY = torch.cuda.is_available() and torch.cuda.get_device_capability() >= (9, 0)


@triton.jit
def wait_for_previous(EARLY: tl.constexpr):  # noqa: ANN201
    """Lets the next kernel start, and waits until the previous one has ended and its writes are visible."""
    if EARLY:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()


def launch_early() -> dict[str, bool]:
    """Launch options of a kernel that calls `wait_for_previous` before it accesses what another kernel writes."""
    return {"launch_pdl": True} if EARLY else {}
