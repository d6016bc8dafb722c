"""The time from the start of a CSM process until it serves."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.report import ROOT


def start_once(folder: Path, device: str, served: bool) -> dict[str, Any]:
    """Seconds from process start until the service serves; without gRPC, until its engine has spoken."""
    if served:
        command = [sys.executable, "-m", "services.csm"]
    else:
        program = (
            "import asyncio, sys; from services.csm.checkpoint import load_checkpoint; "
            "from services.csm.engine.engine import CsmEngine, EngineOptions; "
            "engine = CsmEngine(load_checkpoint(sys.argv[1], device=sys.argv[2]), EngineOptions(slots=256)); "
            "asyncio.run(engine.warm_up()); print('serving', file=sys.stderr, flush=True); sys.stdin.read(); "
            "engine.close()"
        )
        command = [sys.executable, "-c", program, str(folder), device]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {
        "CSM_CHECKPOINT": str(folder), "CSM_DEVICE": device, "CSM_PORT": "0", "CSM_METRICS_PORT": "0",
        "CSM_SLOTS": "256", "CSM_LOG_FORMAT": "json", "PYTHONPATH": path,
    }  # fmt: skip
    started = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    lines: list[str] = []
    try:
        for line in process.stderr:
            lines.append(line)
            if "serving" in line:
                return {"seconds": round(time.perf_counter() - started, 2), "what": "service" if served else "engine"}
        raise RuntimeError(f"the process ended: {''.join(lines[-5:])}")
    finally:
        process.terminate()
        process.wait(60)
