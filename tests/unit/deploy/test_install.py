"""The installation on other machines than this one.

Stand-ins for pip, uv and nvidia-smi answer as such a machine would.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from deploy.download_size import download_size, format_size

ROOT = Path(__file__).parents[3]
CUDA = [["torch", "2.13.0"], ["nvidia-cudnn-cu13", "9.20"], ["nvidia-cublas", "13.1"], ["triton", "3.7.1"]]
CPU = [["torch", "2.13.0+cpu"], ["sympy", "1.14.0"]]

pytestmark = pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="stands in for machines without this GPU")

PIP = '''
import json, pathlib, sys
home = pathlib.Path(__file__).parents[1]
machine = json.loads((home / "machine.json").read_text())
words = [word for word in sys.argv[1:] if word not in ("--disable-pip-version-check", "--quiet")]
with (home / "calls").open("a") as calls:
    calls.write(json.dumps(["pip", *words]) + "\\n")
if words[:2] == ["config", "list"]:
    print("\\n".join(machine["pip_config"]))
elif "--report" in words:
    if not machine["offer"]:
        sys.exit("ERROR: No matching distribution found for torch==2.13.0")
    items = [{"metadata": {"name": name, "version": version},
              "download_info": {"url": machine["wheels"] + "/" + name + ".whl"}} for name, version in machine["offer"]]
    pathlib.Path(words[words.index("--report") + 1]).write_text(json.dumps({"install": items}))
elif words[-1].startswith("torch=="):
    kept = home / f"torch-{machine['offer'][0][1]}.dist-info"
    kept.mkdir()
    (kept / "METADATA").write_text(f"Metadata-Version: 2.4\\nName: torch\\nVersion: {machine['offer'][0][1]}\\n")
elif words[-1].endswith("/uv.lock"):
    if not machine["uv_can_be_installed"]:
        sys.exit("ERROR: no route to host")
    uv = pathlib.Path(sys.executable).with_name("uv")
    uv.write_text(f"""#!{sys.executable}
import json, os, sys
with open({str(home / "calls")!r}, "a") as calls:
    calls.write(json.dumps(["uv", *sys.argv[1:], os.environ.get("UV_DEFAULT_INDEX", "")]) + chr(10))
if not {machine["index_can_be_reached"]}:
    sys.exit("error: failed to lookup address information")
""")
    uv.chmod(0o755)
'''


class StandIn:
    """A virtual environment whose pip is a stand-in, on a machine as described."""

    def __init__(self, folder: Path, **machine) -> None:
        self.venv = folder / "venv"
        self.path = folder / "bin"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", self.venv], check=True)
        site = sysconfig.get_path("purelib", "venv", {"base": str(self.venv), "platbase": str(self.venv)})
        self.home = Path(site)
        (self.home / "pip").mkdir()
        (self.home / "pip/__init__.py").touch()
        (self.home / "pip/__main__.py").write_text(PIP)
        self.path.mkdir()
        wheels = folder / "wheels"
        wheels.mkdir()
        for name, _ in machine.get("offer", ()):
            (wheels / f"{name}.whl").write_bytes(b"0" * 3_000_000)
        defaults = {"pip_config": [], "uv_can_be_installed": True, "index_can_be_reached": True}
        (self.home / "machine.json").write_text(json.dumps({**defaults, "wheels": wheels.as_uri(), **machine}))

    def gpu(self, driver: str) -> None:
        tool = self.path / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\necho {driver}\n")
        tool.chmod(0o755)

    def run(self, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_", "OVIYA_", "MAKE"))}
        return subprocess.run(
            command,
            cwd=ROOT,
            env={**inherited, "PATH": f"{self.path}:{os.environ['PATH']}", "VENV": str(self.venv), **env},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def install(self, *arguments: str, extras: str = "all", **env: str) -> subprocess.CompletedProcess[str]:
        return self.run(str(self.venv / "bin/python"), "-m", "deploy.install", "--extras", extras, *arguments, **env)

    @property
    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.home / "calls").read_text().splitlines()]

    def of(self, tool: str) -> list[list[str]]:
        return [call for call in self.calls if call[0] == tool]

    @property
    def torch_by_pip(self) -> list[list[str]]:
        return [call for call in self.of("pip") if call[-1].startswith("torch==") and "--report" not in call]


def test_make_setup_takes_the_cpu_build_where_pip_offers_cuda_only_and_no_gpu_is_there(tmp_path):
    machine = StandIn(tmp_path, offer=CUDA)
    done = machine.run("make", "setup", f"VENV={machine.venv}")
    assert done.returncode == 0, done.stderr
    ((*uv, _),) = machine.of("uv")
    assert uv[:3] == ["uv", "pip", "install"]
    assert "--torch-backend=cpu" in uv
    assert uv[-1] == "torch==2.13.0"
    assert str(machine.venv / "bin/python") in uv
    assert not machine.torch_by_pip
    assert "pip's index offers only the CUDA build" in done.stderr
    assert any(call[-1].endswith("requirements/all.lock") and "--require-hashes" in call for call in machine.of("pip"))
    again = machine.run("make", "setup", f"VENV={machine.venv}")
    assert (again.returncode, again.stderr) == (0, "")
    assert len(machine.of("uv")) == 1  # nothing changed, so nothing was asked


def test_pip_installs_the_cpu_build_that_its_index_offers(tmp_path):
    machine = StandIn(tmp_path, offer=CPU)
    done = machine.install()
    assert done.returncode == 0, done.stderr
    assert not machine.of("uv")
    (call,) = machine.torch_by_pip
    assert "--no-deps" in call
    assert "installing torch==2.13.0, 3 MB" in done.stderr  # one wheel of 3 MB: the rest comes from the lock


def test_uv_finds_the_build_for_a_gpu_where_pip_offers_the_cpu_build(tmp_path):
    machine = StandIn(tmp_path, offer=CPU)
    machine.gpu("570.86.10")
    assert machine.install().returncode == 0
    ((*uv, _),) = machine.of("uv")
    assert "--torch-backend=auto" in uv
    assert "--no-deps" not in uv  # CUDA packages come with it


def test_uv_finds_a_build_for_a_driver_that_is_too_old_for_pips(tmp_path):
    machine = StandIn(tmp_path, offer=CUDA)
    machine.gpu("550.54.14")
    done = machine.install()
    assert "--torch-backend=auto" in machine.of("uv")[0]
    assert "needs CUDA 13 and driver 580, and this machine has driver 550" in done.stderr


def test_pips_cuda_build_is_taken_where_the_driver_runs_it(tmp_path):
    machine = StandIn(tmp_path, offer=CUDA)
    machine.gpu("580.95.05")
    done = machine.install()
    assert not machine.of("uv")
    (call,) = machine.torch_by_pip
    assert "--no-deps" not in call
    assert "torch==2.13.0 and 3 packages that it needs, 12 MB" in done.stderr


def test_an_installed_torch_that_suits_is_left_alone(tmp_path):
    machine = StandIn(tmp_path, offer=CPU)
    machine.install()
    machine.install()
    assert len(machine.torch_by_pip) == 1


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"index_can_be_reached": False}, "uv could not install it"),
        ({"uv_can_be_installed": False}, "could not install uv"),
    ],
)
def test_where_no_index_can_be_reached_it_says_what_to_do(tmp_path, fault, says):
    machine = StandIn(tmp_path, offer=CUDA, **fault)
    done = machine.install()
    assert done.returncode == 1
    assert says in done.stderr
    for advice in ("HTTPS_PROXY", "PIP_FIND_LINKS", "OVIYA_TORCH_BACKEND=index"):
        assert advice in done.stderr
    assert "Traceback" not in done.stderr
    assert not any(call[-1].endswith("all.lock") for call in machine.calls)  # nothing half done follows


def test_what_pip_said_is_repeated_where_neither_index_has_torch(tmp_path):
    done = StandIn(tmp_path, offer=[], index_can_be_reached=False).install()
    assert done.returncode == 1
    assert "No matching distribution found" in done.stderr


def test_the_backend_can_be_chosen(tmp_path):
    machine = StandIn(tmp_path, offer=CUDA)
    machine.gpu("580.95.05")
    assert machine.install(OVIYA_TORCH_BACKEND="cpu").returncode == 0
    assert "--torch-backend=cpu" in machine.of("uv")[0]


def test_what_pips_index_offers_can_be_taken_as_it_is(tmp_path):
    machine = StandIn(tmp_path, offer=CUDA)
    assert machine.install("--torch-backend", "index", extras="csm").returncode == 0
    assert not machine.of("uv")
    assert machine.torch_by_pip


def test_uv_uses_the_index_that_pip_is_set_to(tmp_path):
    machine = StandIn(
        tmp_path, offer=CUDA, pip_config=["global.index-url='https://mirror.example/simple'", "global.timeout='9'"]
    )
    machine.install()
    assert machine.of("uv")[0][-1] == "https://mirror.example/simple"


def test_extras_without_torch_install_none(tmp_path):
    machine = StandIn(tmp_path, offer=CUDA)
    assert machine.install(extras="gateway-redis,cli").returncode == 0
    assert not machine.of("uv")
    assert not any("torch" in word for call in machine.calls for word in call)
    locks = [Path(call[-1]).name for call in machine.calls]
    assert locks == ["bootstrap.lock", "gateway-redis.lock", "cli.lock"]


def test_a_lock_older_than_the_project_is_refused(tmp_path):
    done = StandIn(tmp_path, offer=CPU).install("--locks", "mesh", extras="csm")
    assert done.returncode == 1
    assert re.search(r"requirements/mesh.lock lacks .*safetensors.*; update the locks with: make lock", done.stderr)


def test_sizes_are_added_and_told(tmp_path):
    for name, size in (("a", 1_500), ("b", 2_000_000)):
        (tmp_path / name).write_bytes(b"0" * size)
    urls = [(tmp_path / name).as_uri() for name in ("a", "b")]
    assert download_size(urls) == 2_001_500
    assert download_size([*urls, "https://127.0.0.1:9/c.whl"]) is None
    assert [format_size(size) for size in (900, 2_001_500, 3_240_000_000, None)] == [
        "1 kB",
        "2 MB",
        "3.2 GB",
        "size unknown",
    ]
