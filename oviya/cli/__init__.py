"""The command line.

Each command is a module: `up`, `chat`, `say`, `talk`, `transcribe`, `session` and `doctor`; `app` assembles them.
`options`, `output` and `files` are shared; `local` runs the mesh on this machine for `up`, `chatting` has the parts of
`chat`.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Runs the command line."""
    # Otherwise gRPC logs every connection that a stopping server closes.
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
