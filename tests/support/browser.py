"""A real headless Chromium with a WAV as its microphone, and a recorder of what the page plays."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from playwright.async_api import Browser, Page, ViewportSize, async_playwright

from oviya.audio.pcm import S16LE, encode_pcm
from oviya.audio.wav import write_wav
from oviya.cli.local.browsers import find_browser
from tests.support.speech import silence, speak

RATE_HZ = 48_000
"""Rate of the microphone and of recordings: the one at which WebRTC's Opus runs."""

BASE_FLAGS = (
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
)
NO_MICROPHONE = ("--use-fake-ui-for-media-stream", "--disable-audio-input")
PERMISSION_DENIED = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream=deny")

# Runs before the page's own scripts: keeps what the gateway says, each message with its place in the recording.
SPY = """
globalThis.said = [];
globalThis.pieces = [];
globalThis.recorded = 0;
const createDataChannel = RTCPeerConnection.prototype.createDataChannel;
RTCPeerConnection.prototype.createDataChannel = function (...args) {
  const channel = createDataChannel.apply(this, args);
  channel.addEventListener('message', ({data}) => said.push({at: recorded, message: JSON.parse(data)}));
  return channel;
};
"""
# Runs before the page's own scripts: the microphone hears what `speak` is given, 16-bit samples in base64.
OPEN_MICROPHONE = """
navigator.mediaDevices.getUserMedia = async () => {
  const context = new AudioContext();
  const microphone = context.createMediaStreamDestination();
  const silence = new ConstantSourceNode(context, {offset: 0});
  silence.connect(microphone);
  silence.start();
  globalThis.speak = async (encoded, sampleRate) => {
    const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
    const samples = Float32Array.from(new Int16Array(bytes.buffer), (sample) => sample / 32768);
    const buffer = new AudioBuffer({length: samples.length, sampleRate});
    buffer.copyToChannel(samples, 0);
    const speech = new AudioBufferSourceNode(context, {buffer});
    speech.connect(microphone);
    speech.start();
    await new Promise((resolve) => { speech.onended = resolve; });
  };
  return microphone.stream;
};
"""
# Takes the decoded sound from the track that the page plays: needs no script that its security policy forbids.
RECORD = """
() => {
  const [track] = document.querySelector('audio').srcObject.getAudioTracks();
  const reader = new MediaStreamTrackProcessor({track, maxBufferSize: 1000}).readable.getReader();
  const read = async () => {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      const piece = new Float32Array(next.value.numberOfFrames);
      next.value.copyTo(piece, {planeIndex: 0, format: 'f32-planar'});
      globalThis.rate = next.value.sampleRate;
      next.value.close();
      pieces.push(piece);
      recorded += piece.length;
    }
  };
  read();
}
"""
TAKE_RECORDING = """
async () => {
  const samples = new Int16Array(recorded);
  let at = 0;
  for (const piece of pieces) {
    for (const x of piece) samples[at++] = Math.max(-32768, Math.min(32767, Math.round(x * 32767)));
  }
  const reader = new FileReader();
  reader.readAsDataURL(new Blob([samples.buffer]));
  await new Promise((resolve) => { reader.onload = resolve; });
  return [reader.result.split(',')[1], rate, said];
}
"""


@dataclass(frozen=True)
class Said:
    """What the gateway sent on the data channel, and when.

    Args:
        at: number of samples that had been recorded when it came.
        turn: number of the turn.
        name: the event's name in proto3 JSON, e.g. "replySentence".
        value: the event.
    """

    at: int
    turn: int
    name: str
    value: dict[str, Any]


def microphone(path: Path, script: list[str | float]) -> tuple[str, ...]:
    """Writes speech and pauses (in seconds) as a WAV at `path`; returns the flags that make it the microphone.

    Chromium begins to play it when the page opens the microphone, once.
    """
    parts = [speak(part, RATE_HZ) if isinstance(part, str) else silence(part, RATE_HZ) for part in script]
    write_wav(path, np.concatenate(parts), RATE_HZ)
    return (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={path}%noloop",
    )


@asynccontextmanager
async def chromium(*flags: str) -> AsyncIterator[Browser]:
    """Starts Chromium."""
    found = find_browser()
    assert found, "the browser tests need Chrome or Chromium, no snap; `deploy/setup.sh dev` installs one"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=[*BASE_FLAGS, *flags])
        yield browser
        await browser.close()


@asynccontextmanager
async def open_page(
    url: str, *flags: str, viewport: tuple[int, int] = (1000, 760), script: str = ""
) -> AsyncIterator[Page]:
    """Opens the page in a Chromium of its own; fails when a script of the page throws.

    Args:
        script: runs before the page's own scripts, e.g. `OPEN_MICROPHONE`.
    """
    async with chromium(*flags) as browser:
        context = await browser.new_context(viewport=ViewportSize(width=viewport[0], height=viewport[1]))
        page = await context.new_page()
        failures: list[str] = []
        page.on("pageerror", lambda error: failures.append(str(error)))
        await page.add_init_script(SPY + script)
        await page.goto(url)
        yield page
        assert not failures, failures


async def start_recording(page: Page) -> None:
    """Records what the page plays, from now on; the session must be open."""
    await wait_until(page, "document.querySelector('audio').srcObject !== null", 10)
    await page.evaluate(RECORD)


async def say(page: Page, samples: NDArray[np.float32]) -> None:
    """Says something into the microphone of a page that was opened with `OPEN_MICROPHONE`; returns at its end.

    Args:
        samples: the sound, shape (samples,), at RATE_HZ.
    """
    encoded = base64.b64encode(encode_pcm(samples, S16LE)).decode()
    await page.evaluate("([encoded, rate]) => speak(encoded, rate)", [encoded, RATE_HZ])


async def wait_until(page: Page, condition: str, timeout_s: float) -> None:
    """Waits until a JavaScript expression is true.

    Playwright's own wait_for_function needs `eval`, which the page's security policy forbids.
    """
    async with asyncio.timeout(timeout_s):
        await page.evaluate(f"""async () => {{
            while (!({condition})) await new Promise((resolve) => setTimeout(resolve, 20));
        }}""")


async def take_recording(page: Page) -> tuple[NDArray[np.float32], list[Said]]:
    """Returns what was played, shape (samples,) at RATE_HZ, and what the gateway said."""
    encoded, rate_hz, said = await page.evaluate(TAKE_RECORDING)
    assert rate_hz == RATE_HZ
    samples = np.frombuffer(base64.b64decode(encoded), "<i2").astype(np.float32) / np.float32(32767)
    return samples, [_read(entry) for entry in said]


def _read(entry: dict[str, Any]) -> Said:
    message = dict(entry["message"])
    turn = message.pop("turn", 0)
    message.pop("turnId", None)
    assert len(message) == 1, f"one event a message: {json.dumps(entry)}"
    name, value = message.popitem()
    return Said(entry["at"], turn, name, value)


def seconds(duration: str | None) -> float:
    """A google.protobuf.Duration in proto3 JSON, e.g. "1.5s"."""
    return float((duration or "0s").removesuffix("s"))
