"""`oviya transcribe`: prints the transcript of a recording."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import asdict
from typing import Any

from oviya.audio.files import SoundFile
from oviya.audio.pcm import Pcm
from oviya.cli.files import ReadingProgress, open_recording, reading_progress
from oviya.cli.options import AsJson, RecordingFile, SttAddress
from oviya.cli.output import Output, exit_on_error, language_mark
from oviya.client import FinalTranscript, SpeechStarted, SpeechToText, TurnEnded
from oviya.client.channel import STALL_TIMEOUT_S
from oviya.client.transcription import STT_ADDRESS
from oviya.errors import OviyaError, Timeout


def transcribe(recording: RecordingFile, address: SttAddress = STT_ADDRESS, as_json: AsJson = False) -> None:
    """Print what is said in a recording, turn by turn (asks the speech-to-text service directly)."""
    output = Output(as_json)
    with exit_on_error(output), open_recording(recording) as sound:
        with reading_progress(output, sound.duration_s) as progress:
            transcription = _Transcription(output, sound, progress)
            turns = asyncio.run(transcription.run(address))
        for problem in sound.problems:
            output.warning(f"{recording}: {problem}")
        if not turns:
            output.text(("no speech was found", "yellow"))
        output.document(
            {
                "file": str(recording),
                "duration_s": sound.read_s,
                "sample_rate_hz": sound.source_rate_hz,
                "channels": sound.channels,
                "codec": sound.codec,
                "problems": sound.problems,
                "text": " ".join(turn["text"] for turn in turns if turn["text"]),
                "turns": turns,
            }
        )


class _Transcription:
    """Streams a recording of any length, and prints each turn when its transcript is final."""

    def __init__(self, output: Output, sound: SoundFile, progress: ReadingProgress) -> None:
        self._output = output
        self._sound = sound
        self._progress = progress
        self._turns: dict[int, dict[str, Any]] = {}
        self._failure: OviyaError | None = None  # while the file was read
        self._reading = False

    async def run(self, address: str) -> list[dict[str, Any]]:
        """Returns the turns.

        Raises:
            InvalidInput: the recording cannot be read to its end; the turns before that were printed.
            OviyaError: the service refused the call, failed or stalled.
        """
        loop = asyncio.get_running_loop()
        try:
            async with SpeechToText(address, use_proxy=False) as stt, asyncio.timeout(STALL_TIMEOUT_S) as patience:

                def restart_timeout() -> None:
                    # No time-out while the recording is being read: standard input may be a microphone.
                    patience.reschedule(None if self._reading else loop.time() + STALL_TIMEOUT_S)

                async for event in stt.transcribe(self._blocks(restart_timeout), self._sound.sample_rate_hz):
                    restart_timeout()
                    self._on_event(event)
        except TimeoutError as error:
            raise Timeout(f"stt: no answer for {STALL_TIMEOUT_S:g} s", hint="see the log of stt") from error
        if self._failure is not None:
            raise self._failure
        return list(self._turns.values())

    async def _blocks(self, restart_timeout: Any) -> AsyncGenerator[Pcm, None]:
        """Yields the recording.  An error is kept for `run`, because gRPC would hide it."""
        blocks = self._sound.blocks()
        while True:
            self._reading = True
            restart_timeout()
            try:
                block = await asyncio.to_thread(next, blocks, None)
            except OviyaError as error:
                self._failure = error
                block = None
            self._reading = False
            restart_timeout()
            if block is None:
                return
            self._progress.at(self._sound.read_s)
            yield block

    def _on_event(self, event: Any) -> None:
        match event:
            case SpeechStarted():
                self._turns[event.turn] = {
                    "start_s": event.start_s,
                    "end_s": None,
                    "text": "",
                    "language": "",
                    "words": [],
                }
            case FinalTranscript():
                turn = self._turns[event.turn]
                turn["text"], turn["language"] = event.text, event.language
                turn["words"] = [asdict(word) for word in event.words]
            case TurnEnded():
                turn = self._turns[event.turn]
                turn["end_s"] = event.speech_end_s
                span = f"{turn['start_s']:7.2f} -{turn['end_s']:7.2f} s  "
                mark = language_mark(turn["language"])
                self._output.text((span, "dim"), (mark, "cyan"), turn["text"] or ("(no words)", "yellow"))
            case _:
                pass  # partials: the final replaces them
