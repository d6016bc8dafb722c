"""Loads cuBLAS, the library of CUDA 12 that CTranslate2 needs on a GPU and does not contain."""

from __future__ import annotations

import ctypes
import importlib.util
from pathlib import Path

LIBRARY = "libcublas.so.12"
HINT = "pip install -r requirements/cuda.lock"


def load_cublas() -> bool:
    """Returns whether cuBLAS could be loaded: from the package nvidia-cublas-cu12, or from where the system finds it.

    CTranslate2 looks for it by its name, at the first decode, and then finds what is loaded already.
    """
    for path in (*_installed(), LIBRARY):
        try:
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        return True
    return False


def _installed() -> list[Path]:
    """Returns where the package has the library; empty if it is not installed."""
    spec = importlib.util.find_spec("nvidia")
    paths = (
        [Path(each) / "cublas" / "lib" / LIBRARY for each in (spec.submodule_search_locations or ())] if spec else []
    )
    return [path for path in paths if path.is_file()]
