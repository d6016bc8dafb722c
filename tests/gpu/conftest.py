"""The published sizes with random weights, and the services on them as processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.support.service_process import ServiceProcess

START_S = 180.0
"""A start compiles Triton's kernels and captures CUDA graphs; the first one on a machine has no cache of either."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what is here, and skips it where there is no GPU."""
    for item in items:
        if Path(item.fspath).parent != Path(__file__).parent:
            continue
        item.add_marker(pytest.mark.gpu)
        if not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="there is no NVIDIA GPU here"))


@pytest.fixture(scope="session")
def csm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of CSM-1B's sizes in bfloat16, 3 GB."""
    from services.csm.random_checkpoint import published_config, write_random_checkpoint

    folder = tmp_path_factory.mktemp("csm-1b")
    write_random_checkpoint(folder, fields=published_config(), device=torch.device("cuda"), dtype=torch.bfloat16)
    torch.cuda.empty_cache()
    return folder


@pytest.fixture(scope="session")
def mimi_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of kyutai/mimi's sizes."""
    from tests.support.checkpoints.random_mimi import write_random_checkpoint

    return write_random_checkpoint(tmp_path_factory.mktemp("mimi"))


@pytest.fixture(scope="module")
def csm(csm_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """The CSM service with nothing set but its checkpoint."""
    log = tmp_path_factory.mktemp("logs") / "csm.log"
    with ServiceProcess("services.csm", log, CHECKPOINT=str(csm_folder)) as process:
        process.start(START_S)
        yield process


@pytest.fixture(scope="module")
def mimi(mimi_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """The Mimi service with nothing set but its checkpoint."""
    log = tmp_path_factory.mktemp("logs") / "mimi.log"
    with ServiceProcess("services.mimi", log, CHECKPOINT=str(mimi_folder)) as process:
        process.start(START_S)
        yield process
