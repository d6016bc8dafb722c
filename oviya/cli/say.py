"""`oviya say`: speaks a text into a WAV file."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import asdict
from typing import Annotated, Any

import typer

from oviya.cli.conversation_record import ConversationRecord
from oviya.cli.files import check_writable, write_recording
from oviya.cli.options import Address, AsJson, OutFile, Speaker, VoiceChoice, VoiceName
from oviya.cli.output import Output, exit_on_error
from oviya.client import AudioChunk, Degraded, Oviya, SayOptions, Sentence
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
        options = SayOptions(emotion=emotion, speaker=speaker, voice=voice.value, seed=seed, sample_rate_hz=rate)
        record = asyncio.run(_say(output, address, words, options))
        reply = record.turn(0)
        if not reply.chunks or not reply.closed:
            raise OviyaError("the gateway did not complete the answer", hint="see the gateway's log")
        write_recording(out, reply.reply, rate)
        length_s = len(reply.reply) / rate
        output.text(f"{out}: {length_s:.2f} s, first audio after {reply.first_audio_here_s:.2f} s")
        output.document(
            {
                "text": words,
                "out": str(out),
                "duration_s": length_s,
                "sample_rate_hz": rate,
                "first_audio_s": reply.first_audio_here_s,
                "sentences": [_sentence(sentence) for sentence in reply.sentences],
                "degraded": record.degraded_modes,
            }
        )


async def _say(output: Output, address: str, text: str, options: SayOptions) -> ConversationRecord:
    """Speaks the text and prints its sentences."""
    record, started_at = ConversationRecord(), time.monotonic()
    reply = record.turn(0)
    async with Oviya(address, use_proxy=False) as oviya:
        async for event in oviya.speak(text, **options):
            elapsed_s = time.monotonic() - started_at
            record.add(event, elapsed_s)
            match event:
                case AudioChunk() if reply.first_audio_here_s is None:
                    reply.first_audio_here_s = elapsed_s
                case Sentence():
                    output.text((f"[{event.plan.emotion}] ", "cyan"), event.text, (f"  ({event.voice})", "dim"))
                case Degraded():
                    output.text(("degraded: ", "yellow"), f"{event.service}: {event.message}")
                case _:
                    pass
    return record


def _sentence(sentence: Sentence) -> dict[str, Any]:
    fields = asdict(sentence)
    return {key: fields[key] for key in ("text", "spoken", "language", "voice", "plan")}
