"""Writes `requirements/*.lock`: every package that an extra or an image installs, with its version and hashes.

    make lock               # after a change of pyproject.toml; keeps versions that still fit
    make lock UPGRADE=1     # selects the newest versions

The locks are universal: one file is valid for Python 3.11 and newer on x86-64 and ARM.  `dev.lock` is made first and
contains every extra; the other locks take their versions from it, so images run the versions that were tested.

torch and its CUDA packages are not in the locks, because the right build depends on the machine;
`deploy/torch_build.py` chooses it.  The dependencies of the CPU build are in the locks.  No lock names an index; pip's
configuration does.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.markers import Marker
from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

from deploy.project import LOCK_FOLDER, ROOT, lock_file, name_of, read_project, requirements
from deploy.torch_build import CUDA_PREFIXES

OLDEST_PYTHON = "3.11"
MASTER = "dev"
WEIGHTS, CUDA = "weights.txt", "cuda.txt"
WHISPERX, WHISPERX_ALONE, WHISPERX_TEST = "whisperx.txt", "whisperx-alone.txt", "whisperx-test.txt"
MIB = 1 << 20


@dataclass(frozen=True)
class Inputs:
    """The inputs of a lock.

    Args:
        wanted: requirements that are resolved with their dependencies.
        alone: requirement files whose packages are installed without their dependencies.
        constraints: the lock that determines versions; None: none does.
    """

    wanted: list[str]
    alone: tuple[str, ...] = ()
    constraints: str | None = MASTER


def plan_locks(pyproject: dict[str, Any], root: Path = ROOT) -> dict[str, Inputs]:
    """Returns the inputs of each lock by its name; each follows the one that constrains it."""
    project = pyproject["project"]
    extras = list(project["optional-dependencies"])
    locks = {MASTER: Inputs(requirements(project, extras), (WEIGHTS,), None)}
    for extra in extras:
        if extra != MASTER:
            has_stt = any(name_of(each) == "ctranslate2" for each in requirements(project, [extra]))
            locks[extra] = Inputs(requirements(project, [extra]), (WEIGHTS,) if has_stt else ())
    locks["cuda"] = Inputs(read_requirements(root / LOCK_FOLDER / CUDA))
    whisperx = [*requirements(project, ["stt"]), *read_requirements(root / LOCK_FOLDER / WHISPERX)]
    locks["whisperx"] = Inputs(whisperx, (WEIGHTS, WHISPERX_ALONE), None)
    tests = read_requirements(root / LOCK_FOLDER / WHISPERX_TEST)
    locks["whisperx-test"] = Inputs([*whisperx, *tests], (WEIGHTS, WHISPERX_ALONE), "whisperx")
    # pip, and the build requirements of the project.
    locks["bootstrap"] = Inputs(["pip>=24", *pyproject["build-system"]["requires"]])
    # uv makes the locks, and installs torch if pip's index has no build for the machine.
    locks["uv"] = Inputs(["uv>=0.9", "packaging>=24"])
    return locks


def read_requirements(path: Path) -> list[str]:
    """Returns a requirement file's lines without comments."""
    lines = (line.split("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    return [line for line in lines if line]


def compile_lock(name: str, inputs: Inputs, uv: Path, root: Path, upgrade: bool) -> str:
    """Returns the text of a lock.

    Raises:
        SystemExit: uv found no matching versions, or could not reach an index; it prints the reason.
    """
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder, "wanted.in")
        wanted.write_text("\n".join(inputs.wanted) + "\n")
        blocks = _run_uv(uv, [wanted], folder, _seed(name, root, upgrade), inputs, root)
        if inputs.alone:
            files = [root / LOCK_FOLDER / file for file in inputs.alone]
            blocks |= _run_uv(uv, files, folder, _seed(name, root, upgrade), inputs, root, "--no-deps")
        kept = {key: block for key, block in blocks.items() if not _belongs_to_torch(key[0], inputs)}
        body = "".join(kept[key] for key in sorted(kept))
        size = _download_size(uv, body, folder)
    heading = (
        f"# Written by `make lock`; do not edit.  {len(kept)} packages beside torch.\n"
        f"# Download: at most {round(size / MIB)} MiB (Linux on x86-64, Python {OLDEST_PYTHON}).\n"
    )
    return heading + body


def split_blocks(text: str) -> dict[tuple[str, str], str]:
    """Splits a lock into packages: the line `name==version` with its hashes, keyed by the name and that line."""
    blocks: dict[tuple[str, str], str] = {}
    for block in re.findall(r"^[^\s#].*\n(?:[ \t]+.*\n)*", text, re.MULTILINE):
        first = block.splitlines()[0]
        blocks[name_of(first), first] = block
    return blocks


def _belongs_to_torch(name: str, inputs: Inputs) -> bool:
    """Whether only torch's CUDA builds require a package; that includes Triton unless it is requested."""
    requested = {name_of(requirement) for requirement in inputs.wanted} - {"torch"}
    return name not in requested and (name in ("torch", "triton") or name.startswith(CUDA_PREFIXES))


def _seed(name: str, root: Path, upgrade: bool) -> str:
    """Returns the current lock, whose versions uv keeps if they still fit."""
    path = lock_file(name, root)
    return path.read_text("utf-8") if path.exists() and not upgrade else ""


def _run_uv(
    uv: Path, files: list[Path], folder: str, seed: str, inputs: Inputs, root: Path, *options: str
) -> dict[tuple[str, str], str]:
    output = Path(folder, "out.lock")
    output.write_text(seed)
    if inputs.constraints:
        options = (*options, "--constraints", str(lock_file(inputs.constraints, root)))
    _compile(uv, files, output, "--generate-hashes", "--no-header", "--no-annotate", *options)
    return split_blocks(output.read_text("utf-8"))


def _compile(uv: Path, files: list[Path], output: Path, *options: str) -> None:
    # The same versions for every Python, so that tests with one Python are valid for the others.
    command = [uv, "pip", "compile", "--quiet", "--universal", "--python-version", OLDEST_PYTHON]
    command += ["--fork-strategy", "fewest", *options, *files, "--output-file", output]
    if subprocess.run(command, check=False).returncode:
        sys.exit(f"lock: uv could not lock {', '.join(str(file) for file in files)}")


def _download_size(uv: Path, body: str, folder: str) -> int:
    """Returns the bytes that pip downloads for a lock on x86-64 Linux with the oldest Python."""
    pins = Path(folder, "pins.txt")
    pins.write_text("\n".join(first.removesuffix(" \\") for _, first in split_blocks(body)) + "\n")
    output = Path(folder, "pylock.toml")
    _compile(uv, [pins], output, "--no-deps", "--format", "pylock.toml", "--no-header")
    packages = tomllib.loads(output.read_text("utf-8"))["packages"]
    return sum(_package_size(package) for package in packages)


def _package_size(package: dict[str, Any]) -> int:
    machine = {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64", "os_name": "posix"}
    python = {"python_version": OLDEST_PYTHON, "python_full_version": f"{OLDEST_PYTHON}.9"}
    cpython = {"implementation_name": "cpython", "platform_python_implementation": "CPython"}
    if "marker" in package and not Marker(package["marker"]).evaluate({**machine, **python, **cpython}):
        return 0
    version = (3, 11)
    platforms = [*(f"manylinux_2_{minor}_x86_64" for minor in range(36, 4, -1)), "manylinux2014_x86_64"]
    platforms += ["manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"]
    fitting = [*cpython_tags(version, platforms=platforms), *compatible_tags(version, "cp311", platforms)]
    ranks = {tag: rank for rank, tag in enumerate(fitting)}
    sizes = {
        ranks[tag]: wheel["size"]
        for wheel in reversed(package.get("wheels", ()))  # of equally good ones, the first
        for tag in parse_wheel_filename(wheel["url"].rsplit("/", 1)[1].replace("%2B", "+"))[3]
        if tag in ranks
    }
    return sizes[min(sizes)] if sizes else package.get("sdist", {}).get("size", 0)


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes requirements/*.lock.")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions")
    parser.add_argument("--uv", type=Path, default=Path(shutil.which("uv") or Path(sys.executable).parent / "uv"))
    options = parser.parse_args()
    for name, inputs in plan_locks(read_project()).items():
        text = compile_lock(name, inputs, options.uv, ROOT, options.upgrade)
        path = lock_file(name)
        changed = not path.exists() or path.read_text("utf-8") != text
        path.write_text(text, "utf-8")
        print(f"{path.relative_to(ROOT)}: {len(split_blocks(text))} packages{'' if changed else ', unchanged'}")


if __name__ == "__main__":
    main()
