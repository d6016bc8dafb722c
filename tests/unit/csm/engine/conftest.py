"""Checkpoints that the engine's tests share."""

from __future__ import annotations

import pytest

from services.csm.checkpoint import load_checkpoint
from tests.support.checkpoints.csm import write_checkpoint, write_tiny_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    return load_checkpoint(write_checkpoint(tmp_path_factory.mktemp("csm") / "small", styles=("calm", "playful")))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return load_checkpoint(write_tiny_checkpoint(tmp_path_factory.mktemp("csm") / "tiny"))
