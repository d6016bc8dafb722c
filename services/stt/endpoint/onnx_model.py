"""Loads the ONNX models that find speech and the ends of turns."""

from __future__ import annotations

from pathlib import Path

import onnxruntime  # pyright: ignore[reportMissingTypeStubs]

from oviya.errors import CheckpointError


def load_onnx(path: Path, name: str) -> onnxruntime.InferenceSession:
    """Loads a model that runs on one thread; the calls are too short for more.

    Args:
        path: the file.
        name: name of the model, for errors.

    Raises:
        CheckpointError: the file is missing or not a model.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only; Silero's file causes harmless warnings about unused initializers
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own types, none of them public
        raise CheckpointError(f"cannot load {name} from {path}: {error}") from error
