"""Generates the stubs in `oviya/v1` from the contracts here: `python protos/generate.py [OUTPUT]` (`make protos`)."""

from __future__ import annotations

import os
import sys
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

PROTO_ROOT = Path(__file__).resolve().parent


def generate(output: Path) -> list[Path]:
    """Writes messages, gRPC stubs and type stubs of every contract under `output`/oviya/v1.

    Raises:
        RuntimeError: protoc refused a file; its own message is on standard error.
    """
    # protoc looks for the mypy plug-ins on PATH; they stand beside the interpreter that runs this file.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    contracts = sorted(str(path.relative_to(PROTO_ROOT)) for path in PROTO_ROOT.rglob("*.proto"))
    status = protoc.main(
        [
            "protoc",
            f"--proto_path={PROTO_ROOT}",
            f"--proto_path={files('grpc_tools') / '_proto'}",
            f"--python_out={output}",
            f"--grpc_python_out={output}",
            f"--mypy_out=quiet:{output}",
            f"--mypy_grpc_out=quiet:{output}",
            *contracts,
        ]
    )
    if status != 0:
        raise RuntimeError(f"protoc ended with status {status}")
    return sorted((output / "oviya" / "v1").glob("*_pb2*"))


if __name__ == "__main__":
    for path in generate(Path(sys.argv[1]) if len(sys.argv) > 1 else PROTO_ROOT.parent):
        print(path)
