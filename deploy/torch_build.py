"""Chooses the build of torch for this machine, and its installer: pip from its index, or uv from PyTorch's.

PyPI's torch for Linux requires gigabytes of CUDA packages.  A machine without an NVIDIA GPU needs the CPU build, which
is on PyTorch's own index; a machine with one needs a build that its driver supports.  uv knows PyTorch's indexes
(`--torch-backend`), so they need not be named.
"""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from deploy.project import canonical, name_of

AUTO, INDEX = "auto", "index"
"""Backends in addition to uv's: the build that suits the machine, and the build that pip's index offers."""

OLDEST_DRIVER = {11: 450, 12: 525, 13: 580}
"""Oldest driver branch for each major version of CUDA: NVIDIA's table of minor version compatibility."""

CUDA_PREFIXES = ("nvidia-", "cuda-")
"""Prefixes of the names of CUDA packages."""

TOOL_TIMEOUT_S = 20.0
GPU_DEVICES = ("/dev/nvidiactl", "/dev/nvidia0")
WSL_TOOL = "/usr/lib/wsl/lib/nvidia-smi"


class Kind(StrEnum):
    """The hardware that a build of torch supports."""

    CPU = "CPU"
    CUDA = "CUDA"
    OTHER = "other"
    """ROCm or XPU, which are not supported."""


@dataclass(frozen=True)
class Machine:
    """The hardware that torch is installed for.

    Args:
        has_gpu: whether there is an NVIDIA GPU.
        driver: the major version of its driver; None: unknown.
    """

    has_gpu: bool
    driver: int | None = None


@dataclass(frozen=True)
class Package:
    """A package that pip would install."""

    name: str
    version: str
    url: str


@dataclass(frozen=True)
class Offer:
    """The torch that pip's index offers."""

    kind: Kind
    cuda: int | None
    """The major version of CUDA that the build was made for; None: unknown."""
    packages: tuple[Package, ...]


@dataclass(frozen=True)
class Choice:
    """How torch is installed.

    Args:
        backend: uv's `--torch-backend`; None: pip installs what its index offers.
        kind: the kind of the resulting build.
        reason: the reason, for the user.
    """

    backend: str | None
    kind: Kind
    reason: str


def read_offer(report: Mapping[str, Any]) -> Offer:
    """Reads `pip install --dry-run --report`.

    Raises:
        ValueError: torch is not in the report.
    """
    packages = tuple(
        Package(canonical(item["metadata"]["name"]), item["metadata"]["version"], item["download_info"]["url"])
        for item in report["install"]
    )
    torch = next((package for package in packages if package.name == "torch"), None)
    if torch is None:
        raise ValueError("pip's report contains no torch")
    return Offer(*_build(torch.version, {package.name: package.version for package in packages}), packages)


def _build(version: str, beside: Mapping[str, str]) -> tuple[Kind, int | None]:
    """Identifies a build by its local version (`2.13.0+cu130`), or by the packages that it requires."""
    local = version.partition("+")[2]
    if cuda := re.match(r"cu(\d+)\d", local):
        return Kind.CUDA, int(cuda.group(1))
    if re.match(r"rocm|xpu", local) or any(re.search(r"rocm|xpu|^intel-sycl", name) for name in beside):
        return Kind.OTHER, None
    if local.startswith("cpu") or not any(name.startswith(CUDA_PREFIXES) for name in beside):
        return Kind.CPU, None
    return Kind.CUDA, _cuda_version(beside)


def _cuda_version(beside: Mapping[str, str]) -> int | None:
    """Returns the major version of CUDA that packages are for, from a name (`nvidia-cudnn-cu13`) or a version."""
    for name, version in beside.items():
        if suffix := re.fullmatch(r"nvidia-[a-z-]+-cu(\d+)", name):
            return int(suffix.group(1))
        if name in ("cuda-toolkit", "nvidia-cuda-runtime"):
            return int(version.split(".")[0])
    return None


def choose(offer: Offer | None, machine: Machine, backend: str = AUTO) -> Choice:
    """Decides how torch is installed.

    Args:
        offer: what pip's index offers; None: nothing.
        machine: the machine that the build is for.
        backend: `auto`, `index`, or one of uv's backends, such as `cpu` or `cu130`.
    """
    offered = offer.kind if offer else None
    if backend == INDEX:
        return Choice(None, offered or Kind.CPU, "as pip's index offers it (torch backend: index)")
    if backend not in (AUTO, "cpu"):
        return Choice(backend, Kind.CUDA if backend.startswith("cu") else Kind.OTHER, f"torch backend: {backend}")
    why = f"pip's index offers only the {offered} build" if offered else "pip's index offers none"
    if backend == "cpu" or not machine.has_gpu:
        if offered is Kind.CPU:
            return Choice(None, Kind.CPU, "the CPU build, from pip's index")
        return Choice("cpu", Kind.CPU, f"the CPU build, from PyTorch's index: {why}")
    needed = OLDEST_DRIVER.get(offer.cuda or 0, 0) if offer else 0
    if offered is Kind.CUDA and (machine.driver is None or machine.driver >= needed):
        return Choice(None, Kind.CUDA, "the CUDA build, from pip's index")
    if offer and offered is Kind.CUDA:
        why = f"pip's needs CUDA {offer.cuda} and driver {needed}, and this machine has driver {machine.driver}"
    return Choice(AUTO, Kind.CUDA, f"the build for this GPU, from PyTorch's index: {why}")


def detect_machine() -> Machine:
    """Detects an NVIDIA GPU, also under WSL, and its driver's version."""
    tool = shutil.which("nvidia-smi") or (WSL_TOOL if Path(WSL_TOOL).exists() else None)
    answer = ""
    if tool:
        command = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
        try:
            answer = subprocess.run(
                command, capture_output=True, text=True, timeout=TOOL_TIMEOUT_S, check=True
            ).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            answer = ""  # there is no GPU, or the driver does not answer
    has_gpu = bool(answer) or any(Path(device).exists() for device in GPU_DEVICES)
    if not answer and has_gpu:
        try:
            text = Path("/proc/driver/nvidia/version").read_text("utf-8")
        except OSError:
            text = ""
        found = re.search(r"Kernel Module.*?\s(\d+)\.\d", text)
        answer = found.group(1) if found else ""
    version = re.match(r"\d+", answer)
    return Machine(has_gpu, int(version.group()) if version else None)


def installed_build(version: str, needs: list[str]) -> Kind:
    """Returns the kind of an installed torch from its version and its requirements."""
    return _build(version, {name_of(need): "0" for need in needs})[0]


def suits(requirement: str, machine: Machine, backend: str) -> bool:
    """Whether the installed torch has the required version and supports the machine's GPU, if there is one.

    A CUDA build also runs without a GPU, so it is kept.
    """
    try:
        torch = importlib.metadata.distribution("torch")
    except importlib.metadata.PackageNotFoundError:
        return False
    if torch.version.partition("+")[0] != requirement.partition("==")[2]:
        return False
    kind = installed_build(torch.version, torch.requires or [])
    if backend in (INDEX, "cpu"):
        return True
    if backend == AUTO:
        return kind is Kind.CUDA or not machine.has_gpu
    return torch.version.endswith(f"+{backend}")
