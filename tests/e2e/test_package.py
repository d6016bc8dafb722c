"""The package as a calling app installs it: a fresh environment with grpcio, protobuf and numpy, and it talks."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway_mesh import free_port
from tests.support.service_process import ROOT, ServiceProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CLIENT = Path(__file__).with_name("package_client.py")
OWN = {"oviya", "grpcio", "protobuf", "numpy"}
OF_GRPCIO = {"typing-extensions"}
"""What grpcio itself depends on."""


def pip(*arguments: str | Path) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the wheel and its dependencies, and not even pip."""
    folder = tmp_path_factory.mktemp("package")
    source = folder / "source"  # a build leaves files beside the code
    for name in ("oviya", "services"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source)
    (wheel,) = folder.glob("oviya-*.whl")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    pip("--python", python, "install", wheel)
    return python


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    """The address of a gateway without the other services: its own voice speaks."""
    nowhere: dict[str, Any] = {
        f"{name}_ADDRESS": f"127.0.0.1:{free_port()}" for name in ("STT", "BRAIN", "EMOTION", "CSM", "MIMI")
    }
    with ServiceProcess("services.gateway", HTTP_PORT="0", **nowhere) as process:
        process.start()
        yield process.address


def run(python: Path, *arguments: str | Path) -> str:
    """Runs `python` without this environment's paths and variables."""
    done = subprocess.run(
        [python, "-I", *arguments], cwd=python.parent, env={}, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_core_names_three_dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {requirement.partition(">=")[0] for requirement in project["dependencies"]} == OWN - {"oviya"}


def test_nothing_else_is_installed(python):
    program = (
        "import importlib.metadata as m, json; print(json.dumps([each.metadata['Name'] for each in m.distributions()]))"
    )
    names = {name.lower().replace("_", "-") for name in json.loads(run(python, "-c", program))}
    assert names == OWN | OF_GRPCIO


@pytest.mark.parametrize("client", ["asynchronous", "blocking"])
def test_it_talks(python, gateway, client):
    answer = json.loads(run(python, CLIENT, client, gateway))
    assert Path(answer["package"]).is_relative_to(python.parents[1])
    assert answer["text"] == "Hello there."
    assert answer["sample_rate_hz"] == 24_000
    assert 0.3 < answer["samples"] / 24_000 < 5
    assert answer["peak"] > 0.05
    assert answer["error"]["type"] == "InvalidInput"
    assert answer["error"]["field"] == "output.sample_rate_hz"
    assert answer["error"]["value"] == "7"
    assert "8000 to 48000" in answer["error"]["limit"]


def test_the_command_line_says_which_extra_it_needs(python):
    done = subprocess.run([python, "-I", "-m", "oviya.cli"], env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'oviya[cli]'" in done.stderr
