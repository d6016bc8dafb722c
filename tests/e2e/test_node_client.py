"""Any gRPC client can use Oviya: Speak and Converse from Node.js, by the contracts alone."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from oviya.audio.pcm import S16LE, encode_pcm
from tests.support.speech import SAD, speak, word_errors

ROOT = Path(__file__).parents[2]
NODE_MODULES = ROOT / "build" / "node" / "node_modules"


def node_client(address: str, *arguments: str) -> dict:
    done = subprocess.run(
        ["node", ROOT / "tests" / "e2e" / "node_client.cjs", address, ROOT / "protos", *arguments],
        env={**os.environ, "NODE_PATH": str(NODE_MODULES)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def events(seen: dict, kind: str) -> list[dict]:
    return [event for event in seen["events"] if event["kind"] == kind]


def test_speak_from_node(mesh):
    seen = node_client(mesh.grpc_address, "speak", "Hello from Node. This is the second sentence.")
    assert "error" not in seen
    sentences = events(seen, "sentence")
    assert [sentence["text"] for sentence in sentences] == ["Hello from Node.", "This is the second sentence."]
    assert sentences[0]["plan"]["emotion"] == "joyful_excited"
    seconds = seen["audioBytes"] / 2 / seen["rates"][0]
    assert 1.5 < seconds < 6
    assert seen["peak"] > 3_000


def test_converse_from_node(mesh, tmp_path):
    recording = tmp_path / "question.pcm"
    recording.write_bytes(encode_pcm(speak(SAD, 16_000), S16LE))
    seen = node_client(mesh.grpc_address, "converse", str(recording))
    assert "error" not in seen
    assert word_errors(events(seen, "final")[0]["text"], SAD) <= 2
    assert events(seen, "replySentence")
    assert events(seen, "sessionStarted")[0]["sessionId"]
    ended = events(seen, "replyEnded")[0]["duration"]
    seconds = ended["seconds"] + ended["nanos"] / 1e9
    assert seen["audioBytes"] / 2 / seen["rates"][0] == pytest.approx(seconds, abs=0.05)


def test_bad_input_from_node_is_a_typed_error(mesh):
    seen = node_client(mesh.grpc_address, "speak", "x" * 9_000)
    assert seen["error"]["code"] == 3  # INVALID_ARGUMENT
    assert "text" in seen["error"]["details"]
    assert "8192" in seen["error"]["details"]
