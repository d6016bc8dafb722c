"""An app that only calls Oviya must not need what the services need."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys

OWN_NEEDS = {"google", "grpc", "numpy", "oviya"} | {"typing_extensions"}  # the last one is grpcio's own


class NothingElse:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in OWN_NEEDS and top not in sys.stdlib_module_names:
            raise ModuleNotFoundError(f"{name} is not there", name=name)


sys.meta_path.insert(0, NothingElse())
for wanted in sys.argv[1:]:
    __import__(wanted)
print("imported", *sys.argv[1:])
"""


def run(*modules: str) -> subprocess.CompletedProcess[str]:
    """Imports `modules` in an interpreter where nothing but the client's own needs is installed."""
    return subprocess.run([sys.executable, "-c", PROGRAM, *modules], capture_output=True, text=True, check=False)


def test_the_client_imports_nothing_but_its_own_needs():
    done = run("oviya.client", "oviya.errors", "oviya.status", "oviya.audio.wav")
    assert done.stdout.startswith("imported oviya.client"), done.stderr


def test_the_client_does_not_need_what_makes_text_speakable():
    program = "import sys, oviya.client; print([name for name in sys.modules if name.startswith('oviya.text')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_command_line_without_its_extra_says_how_to_get_it():
    program = PROGRAM.replace("for wanted", "import oviya.cli; oviya.cli.main()\nfor wanted")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'oviya[cli]'" in done.stderr
    assert "Traceback" not in done.stderr
