"""Installs the requirements of extras from the locks, into the environment of the Python that runs it.

    .venv/bin/python -m deploy.install --extras all --editable      # deploy/setup.sh
    python -m deploy.install --extras csm --torch-backend cpu       # deploy/docker/Dockerfile

It installs pip and the build requirements first, then torch in the build that suits the machine
(`deploy/torch_build.py`), then the locks.  All packages except torch and its CUDA packages are checked against their
hashes.  Uses the standard library only.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

from deploy.download_size import download_size, format_size
from deploy.project import ROOT, lock_file, name_of, read_project, requirements, torch_requirement
from deploy.torch_build import AUTO, INDEX, Choice, Kind, Offer, choose, detect_machine, read_offer, suits

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
PIP_ENVIRONMENT = {**os.environ, "PIP_USER": "0"}
"""`user = true` in pip's configuration would fail in a virtual environment."""
BACKEND_VARIABLE = "OVIYA_TORCH_BACKEND"
UV_HTTP_TIMEOUT_S = "120"
"""uv's default of 30 s without a byte is too short for a torch wheel on a slow connection."""


def say(text: str) -> None:
    """Prints a progress message to stderr, in bold on a terminal."""
    print(f"\033[1m{text}\033[0m" if sys.stderr.isatty() else text, file=sys.stderr, flush=True)


def die(text: str) -> NoReturn:
    """Exits with an error message."""
    sys.exit(f"setup: {text}")


def pip(*arguments: str | Path, quiet: bool = False) -> int:
    """Runs this environment's pip and returns its exit code.

    On a terminal pip shows progress bars; with `quiet` its output is shown only if it fails.
    """
    command = [*PIP, *(["--quiet"] if quiet or not sys.stderr.isatty() else []), *arguments]
    if not quiet:
        return subprocess.run(command, env=PIP_ENVIRONMENT, stdout=sys.stderr, check=False).returncode
    done = subprocess.run(
        command, env=PIP_ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        print(done.stdout, file=sys.stderr)
    return done.returncode


def pip_settings() -> dict[str, str]:
    """Returns pip's configuration without sections, e.g. `index-url`; environment variables take precedence."""
    lines = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True, check=False).stdout.splitlines()
    found: dict[str, str] = {}
    for line in sorted(lines, key=lambda line: line.startswith(":env:")):
        if setting := re.fullmatch(r"(?:global|install|:env:)\.([\w-]+)=(.*)", line):
            try:
                found[setting.group(1)] = str(ast.literal_eval(setting.group(2)))
            except (SyntaxError, ValueError):
                continue
    return found


def ask_pip(requirement: str) -> tuple[Offer | None, str]:
    """Returns what pip would install for torch; if that is nothing, None and pip's error."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [*PIP, "install", "--quiet", "--dry-run", "--ignore-installed", "--report", str(report), requirement]
        asked = subprocess.run(command, env=PIP_ENVIRONMENT, capture_output=True, text=True, check=False)
        try:
            return read_offer(json.loads(report.read_text("utf-8"))), ""
        except (OSError, ValueError, KeyError):
            lines = [line for line in asked.stderr.splitlines() if line.strip()]
            return None, lines[-1] if lines else f"pip exited with code {asked.returncode}"


def install_torch(requirement: str, backend: str) -> None:
    """Installs torch in the build that suits this machine, or the one that `backend` names.

    Raises:
        SystemExit: no build could be installed; the message explains what to do.
    """
    machine = detect_machine()
    if suits(requirement, machine, backend):
        return
    offer, complaint = ask_pip(requirement)
    choice = choose(offer, machine, backend)
    if choice.backend is None:
        _install_with_pip(requirement, choice, offer)
    else:
        _install_with_uv(requirement, choice, complaint)


def _install_with_pip(requirement: str, choice: Choice, offer: Offer | None) -> None:
    packages = offer.packages if offer else ()
    # The dependencies of the CPU build are in the locks.
    alone = choice.kind is Kind.CPU
    wanted = [package for package in packages if package.name == "torch" or not alone]
    size = format_size(download_size([package.url for package in wanted]))
    beside = "" if alone else f" and {len(wanted) - 1} packages that it needs"
    say(f"installing {requirement}{beside}, {size}: {choice.reason}")
    if pip("install", "--force-reinstall", *(["--no-deps"] if alone else []), requirement):
        die(f"pip could not install {requirement}; its message is above.")


def _install_with_uv(requirement: str, choice: Choice, complaint: str) -> None:
    uv = Path(sys.executable).with_name("uv")
    if pip("install", "--require-hashes", "--no-deps", "-r", lock_file("uv")):
        what = "pip could not install uv, which is needed to install from PyTorch's index."
        die(_no_build(requirement, choice, complaint, what))
    say(f"installing {requirement}: {choice.reason}")
    settings = pip_settings()
    env = {"UV_HTTP_TIMEOUT": UV_HTTP_TIMEOUT_S, **os.environ}
    if "index-url" in settings:
        env.setdefault("UV_DEFAULT_INDEX", settings["index-url"])
    if "cert" in settings:
        env.setdefault("SSL_CERT_FILE", settings["cert"])
    command = [str(uv), "pip", "install", "--python", sys.executable, f"--torch-backend={choice.backend}"]
    command += ["--reinstall-package", "torch", *(["--no-deps"] if choice.kind is Kind.CPU else []), requirement]
    try:
        failed = subprocess.run(command, env=env, stdout=sys.stderr, check=False).returncode
    except OSError as error:
        failed = 1
        say(str(error))
    if failed:
        what = "uv could not install it from PyTorch's index; its message is above."
        die(_no_build(requirement, choice, complaint, what))


def _no_build(requirement: str, choice: Choice, complaint: str, what: str) -> str:
    """Returns the error message for a build of torch that could not be installed: the reason, and what to do."""
    kind = "CPU build" if choice.kind is Kind.CPU else "build for this GPU"
    lines = [f"the {kind} of {requirement} could not be installed.  {what}"]
    if complaint:
        lines.append(f"pip's own index did not offer one either: {complaint}")
    lines += [
        "Do one of the following, then run this again:",
        "  - check the network: PyTorch's index must be reachable; behind a proxy, set HTTPS_PROXY;",
        f"  - put a wheel of {requirement} into a folder and set PIP_FIND_LINKS to that folder;",
    ]
    if choice.kind is Kind.CPU:
        lines.append(
            f"  - set {BACKEND_VARIABLE}=index to install what pip's index offers (several gigabytes of CUDA packages)."
        )
    else:
        lines.append(f"  - set {BACKEND_VARIABLE}=cpu to run without the GPU.")
    return "\n".join(lines)


def check_lock(wanted: list[str], locks: list[str]) -> None:
    """Checks that the locks are not older than `pyproject.toml`.

    Raises:
        SystemExit: a required package is in none of the locks.
    """
    locked = {
        name_of(line)
        for lock in locks
        for line in lock_file(lock).read_text("utf-8").splitlines()
        if line and line[0] not in " #"
    }
    missing = sorted({name_of(requirement) for requirement in wanted} - locked - {"torch"})
    if missing:
        die(f"requirements/{locks[0]}.lock lacks {', '.join(missing)}; update the locks with: make lock")


def install_lock(name: str) -> None:
    """Installs the packages of a lock and checks their hashes.

    Raises:
        SystemExit: pip failed.
    """
    path = lock_file(name)
    size = re.search(r"^# Download: (.*)$", path.read_text("utf-8"), re.MULTILINE)
    say(f"installing requirements/{path.name}" + (f", {size.group(1).partition(' (')[0]} to download" if size else ""))
    if pip("install", "--require-hashes", "--no-deps", "-r", path):
        die(f"pip could not install requirements/{path.name}; its message is above.")


def main() -> None:
    parser = argparse.ArgumentParser(description="Installs what extras need, from requirements/*.lock.")
    parser.add_argument("--extras", required=True, help="extras of pyproject.toml, separated by commas")
    parser.add_argument("--locks", help="locks to install, separated by commas; default: those of the extras")
    parser.add_argument("--with-torch", action="store_true", help="install torch even if the extras do not require it")
    parser.add_argument("--editable", action="store_true", help="also install the project from this checkout")
    parser.add_argument(
        "--torch-backend",
        default=os.environ.get(BACKEND_VARIABLE) or AUTO,
        help=f"{AUTO}: suits this machine; {INDEX}: what pip's index offers; or a backend of uv, such as cpu or cu130",
    )
    options = parser.parse_args()
    project = read_project()["project"]
    extras = options.extras.split(",")
    locks = (options.locks or options.extras).split(",")
    try:
        check_lock(requirements(project, extras), locks)
    except (KeyError, OSError) as error:
        die(f"no such extra or lock: {error}")
    if pip("install", "--require-hashes", "--no-deps", "-r", lock_file("bootstrap"), quiet=True):
        die("pip could not install requirements/bootstrap.lock; its message is above.")
    torch = torch_requirement(project, ["csm"] if options.with_torch else extras)
    if torch:
        install_torch(torch, options.torch_backend)
    for lock in locks:
        install_lock(lock)
    if options.editable and pip("install", "--no-deps", "--no-build-isolation", "--editable", ROOT, quiet=True):
        die("pip could not install the project itself; its message is above.")


if __name__ == "__main__":
    main()
