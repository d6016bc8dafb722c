"""The hub's real client downloads a model from a hub on this machine."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

REPOSITORY = "someone/whisper-ct2"
COMMIT = "a" * 40
FILES = {
    "config.json": b"{}",
    "tokenizer.json": b"{}",
    "vocabulary.json": b"[]",
    "model.bin": os.urandom(1 << 20),
    "pytorch_model.bin": b"not needed",
}
FIND = (
    "import sys; from types import SimpleNamespace; from services.stt.decode.model_files import find_model; "
    "print(find_model(SimpleNamespace(model=sys.argv[1], allow_download=True, download_root=sys.argv[2])))"
)


class Hub(BaseHTTPRequestHandler):
    """The part of the hub's HTTP interface that a download needs."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path.startswith(f"/{REPOSITORY}/resolve/"):
            body = FILES[path.rsplit("/", 1)[1]]
            self._answer(body, {"ETag": f'"{hashlib.sha1(body).hexdigest()}"', "X-Repo-Commit": COMMIT})
            return
        files = [{"rfilename": name, "size": len(body)} for name, body in FILES.items()]
        answer: object = {"id": REPOSITORY, "sha": COMMIT, "siblings": files}
        if "/tree/" in path:
            answer = [
                {"type": "file", "path": name, "size": len(body), "oid": hashlib.sha1(body).hexdigest()}
                for name, body in FILES.items()
            ]
        self._answer(json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(200)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@pytest.fixture
def env(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a client of this hub."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    proxies = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    yield {**kept, **proxies, "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path / "hf")}
    server.shutdown()
    thread.join()
    server.server_close()


def find(folder: Path, env: dict[str, str], stderr: int) -> Path:
    """Finds the model in a process of its own."""
    command = [sys.executable, "-c", FIND, REPOSITORY, str(folder)]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=stderr, text=True, check=True)
    return Path(done.stdout.splitlines()[-1])


def test_a_model_is_downloaded_once(tmp_path: Path, env: dict[str, str]):
    with (tmp_path / "stderr").open("w+") as stderr:
        folder = find(tmp_path / "models", env, stderr.fileno())
        stderr.seek(0)
        assert stderr.read() == ""  # no progress bar in a log
    assert folder.is_relative_to(tmp_path / "models")
    assert {file.name for file in folder.iterdir()} == FILES.keys() - {"pytorch_model.bin"}
    assert (folder / "model.bin").read_bytes() == FILES["model.bin"]
    unreachable = {**env, "HF_ENDPOINT": "http://127.0.0.1:1"}
    assert find(tmp_path / "models", unreachable, subprocess.DEVNULL) == folder


def test_a_terminal_shows_the_progress(tmp_path: Path, env: dict[str, str]):
    terminal, stderr = pty.openpty()
    fcntl.ioctl(stderr, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    shown = bytearray()

    def read() -> None:
        while True:
            try:
                shown.extend(os.read(terminal, 65_536))
            except OSError:  # the other end is closed
                return

    reader = threading.Thread(target=read)
    reader.start()
    try:
        find(tmp_path / "models", env, stderr)
    finally:
        os.close(stderr)
        reader.join()
        os.close(terminal)
    assert "100%" in shown.decode()
