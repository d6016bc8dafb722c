"""`oviya say`: a text to a WAV file."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from oviya.audio.pcm import Pcm
from oviya.cli.files import check_writable, write_recording
from oviya.cli.options import Address, AsJson, OutFile, Speaker, VoiceChoice, VoiceName
from oviya.cli.output import Output, exit_on_error
from oviya.client import AudioChunk, Degraded, Oviya, ReplyEnded, Sentence
from oviya.client.speaking import GATEWAY_ADDRESS, OUTPUT_RATE_HZ
from oviya.errors import OviyaError


def say(
    text: Annotated[str, typer.Argument(help="What to say; - reads it from standard input.")],
    out: OutFile,
    emotion: Annotated[str, typer.Option("--emotion", "-e", help="One of the 49 emotions or an alias.")] = "",
    speaker: Speaker = 0,
    voice: VoiceName = VoiceChoice.AUTO,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Makes csm's sampling repeatable.")] = None,
    rate: Annotated[int, typer.Option("--rate", help="Sample rate of the file in Hz.")] = OUTPUT_RATE_HZ,
    address: Address = GATEWAY_ADDRESS,
    as_json: AsJson = False,
) -> None:
    """Speak a text and write it to a WAV file."""
    output = Output(as_json)
    with exit_on_error(output):
        check_writable(out)
        words = sys.stdin.read() if text == "-" else text
        report = asyncio.run(_say(output, address, words, out, emotion, speaker, voice.value, seed, rate))
        output.document(report)


async def _say(
    output: Output,
    address: str,
    text: str,
    out: Path,
    emotion: str,
    speaker: int,
    voice: str,
    seed: int | None,
    rate_hz: int,
) -> dict[str, Any]:
    """Speaks, prints what happens, writes the file; returns the report."""
    chunks: list[Pcm] = []
    sentences: list[dict[str, Any]] = []
    degraded: list[dict[str, str]] = []
    started, first_audio_s, ended = time.monotonic(), None, False
    async with Oviya(address, use_proxy=False) as oviya:
        events = oviya.speak(text, emotion=emotion, speaker=speaker, voice=voice, seed=seed, sample_rate_hz=rate_hz)
        async for event in events:
            match event:
                case Sentence():
                    output.text((f"[{event.plan.emotion}] ", "cyan"), event.text, (f"  ({event.voice})", "dim"))
                    sentences.append(
                        {
                            "text": event.text,
                            "spoken": event.spoken,
                            "language": event.language,
                            "voice": event.voice,
                            "plan": asdict(event.plan),
                        }
                    )
                case AudioChunk():
                    first_audio_s = first_audio_s or time.monotonic() - started
                    chunks.append(event.samples)
                case Degraded():
                    output.text(("degraded: ", "yellow"), f"{event.service}: {event.message}")
                    degraded.append({"service": event.service, "message": event.message})
                case ReplyEnded():
                    ended = True
    if not chunks or not ended:
        raise OviyaError("the gateway ended the answer before its end", hint="see the gateway's log")
    samples = np.concatenate(chunks)
    write_recording(out, samples, rate_hz)
    length_s = len(samples) / rate_hz
    output.text(f"{out}: {length_s:.2f} s, first audio after {first_audio_s:.2f} s")
    return {
        "text": text,
        "out": str(out),
        "duration_s": length_s,
        "sample_rate_hz": rate_hz,
        "first_audio_s": first_audio_s,
        "sentences": sentences,
        "degraded": degraded,
    }
