"""What the benchmarks share: the command line, statistics, tables and the JSON file.

Only the standard library is imported with it: `mimi.py` also runs in environments with nothing else.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import platform
import statistics
import sys
import timeit
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MACHINE = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
WARM_UP_RUNS = 3
TABLE_WIDTH = 140
"""Columns of a table that is not printed to a terminal."""


def parser_for(name: str, description: str | None) -> argparse.ArgumentParser:
    """Returns a parser with the option `--json`: the file to write, by default build/benchmarks/`name`.json."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path(f"build/benchmarks/{name}.json"), help="file to write")
    return parser


def quiet_logs() -> None:
    """Suppresses log lines below a warning."""
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


def median_s(step: Callable[[], Any], runs: int) -> float:
    """Returns the median time of `step()` in seconds, after a warm-up."""
    return statistics.median(timeit.repeat(step, repeat=WARM_UP_RUNS + runs, number=1)[WARM_UP_RUNS:])


def summary(values: Sequence[float]) -> dict[str, float]:
    """Returns the median, the 95th percentile (nearest rank) and the maximum."""
    ordered = sorted(values)
    return {
        "p50": statistics.median(ordered), "p95": ordered[math.ceil(0.95 * len(ordered)) - 1], "max": ordered[-1]
    }  # fmt: skip


def write_json(path: Path, figures: Any) -> None:
    """Writes the figures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(f"figures: {path}")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Prints a table; as plain text where rich is not installed."""
    if not find_spec("rich"):
        print(title, *("  ".join(f"{cell!s:<24}" for cell in row) for row in (columns, *rows)), sep="\n")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*map(str, row))
    Console(width=None if sys.stdout.isatty() else TABLE_WIDTH).print(table)
