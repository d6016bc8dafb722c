"""Makes the missing shards of the corpus: `python -m training.demo_voice.shards FOLDER COUNT SEED [WORKERS]`."""

from __future__ import annotations

import sys
from pathlib import Path

from training.demo_voice.corpus import make_shards, plan


def main() -> None:
    """Makes the missing shards in parallel."""
    folder, count, seed, *workers = sys.argv[1:]
    for _ in make_shards(plan(int(count), int(seed)), Path(folder), workers=int(workers[0]) if workers else None):
        pass


if __name__ == "__main__":
    main()
