"""Loads cuBLAS, the library of CUDA 12 that CTranslate2 needs on a GPU and does not contain."""

from __future__ import annotations

import ctypes
from pathlib import Path

from services.stt.packages import package_folders

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
    paths = [folder / "cublas" / "lib" / LIBRARY for folder in package_folders("nvidia")]
    return [path for path in paths if path.is_file()]
