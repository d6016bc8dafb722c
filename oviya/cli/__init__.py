"""The command line: `oviya up`, `say`, `talk`, `transcribe`, `doctor`."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Runs the command that the arguments name."""
    # gRPC tells of every connection that a stopping server ends; standard error is for what a person should read.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    try:
        from oviya.cli.app import app
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "oviya":
            raise
        sys.exit(f"oviya's command line needs {error.name}: pip install 'oviya[cli]'")
    app()


if __name__ == "__main__":
    main()
