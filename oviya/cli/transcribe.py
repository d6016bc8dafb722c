"""`oviya transcribe`: a WAV file to words."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from oviya.audio.pcm import Pcm
from oviya.cli.files import read_recording
from oviya.cli.options import AsJson, Recording, SttAddress
from oviya.cli.output import Output, reported
from oviya.client import FinalTranscript, SpeechStarted, SpeechToText, TurnEnded
from oviya.client.transcription import STT_ADDRESS


def transcribe(recording: Recording, address: SttAddress = STT_ADDRESS, as_json: AsJson = False) -> None:
    """Print what is said in a WAV file, turn by turn (asks the speech-to-text service directly)."""
    output = Output(as_json)
    with reported(output):
        samples, rate_hz = read_recording(recording)
        turns = asyncio.run(_transcribe(output, address, samples, rate_hz))
        if not turns:
            output.text(("no speech was found", "yellow"))
        output.document(
            {
                "file": str(recording),
                "duration_s": len(samples) / rate_hz,
                "sample_rate_hz": rate_hz,
                "text": " ".join(turn["text"] for turn in turns if turn["text"]),
                "turns": turns,
            }
        )


async def _transcribe(output: Output, address: str, samples: Pcm, rate_hz: int) -> list[dict[str, Any]]:
    """Sends the samples, shape (samples,), and prints each turn as it is final; returns the turns."""
    turns: dict[int, dict[str, Any]] = {}
    async with SpeechToText(address, use_proxy=False) as stt:
        async for event in stt.transcribe(samples, rate_hz):
            match event:
                case SpeechStarted():
                    turns[event.turn] = {"start_s": event.start_s, "end_s": None, "text": "", "words": []}
                case FinalTranscript():
                    turn = turns[event.turn]
                    turn["text"], turn["words"] = event.text, [asdict(word) for word in event.words]
                case TurnEnded():
                    turn = turns[event.turn]
                    turn["end_s"] = event.speech_end_s
                    span = f"{turn['start_s']:7.2f} -{turn['end_s']:7.2f} s  "
                    output.text((span, "dim"), turn["text"] or ("(no words)", "yellow"))
                case _:
                    pass  # partials are replaced by the final
    return list(turns.values())
