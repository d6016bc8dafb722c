"""The contracts: stubs are fresh, and every field says its unit, range and zero value."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CONTRACTS = sorted((ROOT / "protos" / "oviya" / "v1").glob("*.proto"))


def test_committed_stubs_are_what_the_contracts_generate(tmp_path):
    subprocess.run([sys.executable, ROOT / "protos" / "generate.py", tmp_path], check=True, capture_output=True)
    fresh = {path.name: path.read_text() for path in (tmp_path / "oviya" / "v1").glob("*_pb2*")}
    committed = {path.name: path.read_text() for path in (ROOT / "oviya" / "v1").glob("*_pb2*")}
    assert fresh.keys() == committed.keys()
    stale = [name for name in fresh if fresh[name] != committed[name]]
    assert not stale, "run `make protos`"


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda path: path.stem)
def test_every_declaration_is_explained(contract):
    lines = [line.strip() for line in contract.read_text().splitlines()]
    bare = [
        line
        for before, line in itertools.pairwise(lines)
        if line.endswith((";", "{", "{}"))
        and not line.startswith(("//", "syntax", "package", "import"))
        and not before.startswith("//")
    ]
    assert not bare
