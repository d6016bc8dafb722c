"""A real Firefox talks with the six services over WebRTC: a typed turn and a spoken one."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from oviya.audio.wav import write_wav
from tests.support.firefox import Firefox, find_firefox, open_firefox
from tests.support.speech import SAD, speak, word_errors

CONNECT_S, TURN_S = 30.0, 90.0
MAX_WORD_ERRORS = 3

pytestmark = pytest.mark.skipif(find_firefox() is None, reason="needs Firefox, no snap: apt-get install firefox-esr")

# Firefox's own fake microphone is a tone. This one is silent until say() is called.
MICROPHONE = """
const [wav] = arguments;
window.context = new AudioContext();
window.microphone = context.createMediaStreamDestination();
navigator.mediaDevices.getUserMedia = async () => microphone.stream;
window.say = async () => {
  const bytes = Uint8Array.from(atob(wav), (character) => character.charCodeAt(0));
  const source = new AudioBufferSourceNode(context, {buffer: await context.decodeAudioData(bytes.buffer)});
  source.connect(microphone);
  source.start();
};
"""
# The loudest sample that was played since then.
LISTEN = """
const listening = new AudioContext();
const analyser = new AnalyserNode(listening, {fftSize: 8192});
listening.createMediaStreamSource(document.querySelector('audio').srcObject).connect(analyser);
const samples = new Float32Array(analyser.fftSize);
window.loudest = 0;
setInterval(() => {
  analyser.getFloatTimeDomainData(samples);
  for (const sample of samples) window.loudest = Math.max(window.loudest, Math.abs(sample));
}, 50);
"""


@pytest.fixture
async def firefox(tmp_path: Path) -> AsyncIterator[Firefox]:
    program = find_firefox()
    assert program
    profile = tmp_path / "profile"
    profile.mkdir()
    async with open_firefox(program, profile) as firefox:
        yield firefox


async def texts(firefox: Firefox, selector: str) -> list[str]:
    return await firefox.run(
        f"return [...document.querySelectorAll({selector!r})].map((one) => one.textContent.trim())"
    )


async def test_a_typed_and_a_spoken_turn(mesh, firefox, tmp_path):
    path = tmp_path / "question.wav"
    write_wav(path, speak(SAD, 48_000), 48_000)
    await firefox.call("WebDriver:Navigate", url=mesh.http_url)
    await firefox.run(MICROPHONE, base64.b64encode(path.read_bytes()).decode())
    await firefox.wait_until("document.querySelector('#start').ariaDisabled === 'false'", CONNECT_S)
    await firefox.run("document.querySelector('#start').click()")
    await firefox.wait_until("document.querySelector('#connection').textContent === 'Connected'", CONNECT_S)
    await firefox.wait_until("document.querySelector('audio').srcObject", CONNECT_S)
    await firefox.run(LISTEN)

    await firefox.run("""
        document.querySelector('#message').value = 'Hello, my name is Ada.';
        document.querySelector('#composer').requestSubmit();
    """)
    await firefox.wait_until("document.querySelectorAll('.turn.reply .delay').length === 1", TURN_S)
    assert await texts(firefox, ".turn.user .words") == ["Hello, my name is Ada."]
    assert await firefox.run("return loudest") > 0.01

    await firefox.run("loudest = 0; say()")
    await firefox.wait_until("document.querySelectorAll('.turn.reply .delay').length === 2", TURN_S)
    [_, spoken] = await texts(firefox, ".turn.user .words")
    assert word_errors(spoken, SAD) <= MAX_WORD_ERRORS, spoken
    assert all(await texts(firefox, ".turn.reply .words"))
    assert await texts(firefox, ".note.failure") == []
    assert await firefox.run("return loudest") > 0.01

    await firefox.run("document.querySelector('#stop').click()")
    await firefox.wait_until("document.querySelector('#connection').textContent === 'Not connected'", CONNECT_S)
    assert await firefox.errors(mesh.http_url) == []
