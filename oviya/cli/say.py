"""`oviya say`: speaks a text into a WAV file."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from oviya.cli.conversation_record import ConversationRecord
from oviya.cli.files import check_writable, write_recording
from oviya.cli.options import Address, AsJson, OutFile, Speaker, VoiceChoice, VoiceName
from oviya.cli.output import Output, exit_on_error
from oviya.client import Degraded, Oviya, Sentence
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
    """Speaks, prints the sentences and writes the file; returns the report."""
    record, started_at = ConversationRecord(), time.monotonic()
    async with Oviya(address, use_proxy=False) as oviya:
        events = oviya.speak(text, emotion=emotion, speaker=speaker, voice=voice, seed=seed, sample_rate_hz=rate_hz)
        async for event in events:
            record.add(event, time.monotonic() - started_at)
            match event:
                case Sentence():
                    output.text((f"[{event.plan.emotion}] ", "cyan"), event.text, (f"  ({event.voice})", "dim"))
                case Degraded():
                    output.text(("degraded: ", "yellow"), f"{event.service}: {event.message}")
                case _:
                    pass
    reply = record.turn(0)
    if not reply.chunks or not reply.closed:
        raise OviyaError("the gateway did not complete the answer", hint="see the gateway's log")
    samples = reply.reply
    write_recording(out, samples, rate_hz)
    length_s = len(samples) / rate_hz
    output.text(f"{out}: {length_s:.2f} s, first audio after {reply.first_audio_here_s:.2f} s")
    return {
        "text": text,
        "out": str(out),
        "duration_s": length_s,
        "sample_rate_hz": rate_hz,
        "first_audio_s": reply.first_audio_here_s,
        "sentences": [
            {
                "text": sentence.text,
                "spoken": sentence.spoken,
                "language": sentence.language,
                "voice": sentence.voice,
                "plan": asdict(sentence.plan),
            }
            for sentence in reply.sentences
        ],
        "degraded": record.degraded_modes,
    }
