"""`oviya talk`: plays a recording to the gateway and writes the reply."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.table import Table

from oviya.cli.conversation_record import ConversationRecord
from oviya.cli.conversation_report import report_of
from oviya.cli.event_line import event_line
from oviya.cli.explain import explained
from oviya.cli.files import check_writable, read_recording, write_recording
from oviya.cli.options import (
    Address,
    AsJson,
    Explain,
    OutFile,
    RecordingFile,
    SessionName,
    SessionToken,
    Speaker,
    VoiceChoice,
    VoiceName,
)
from oviya.cli.output import Output, exit_code, exit_on_error
from oviya.cli.player import play_recording
from oviya.cli.session_token import keep_token
from oviya.cli.tokens import stored_token
from oviya.client import ConverseEvent, Oviya, Sentence, SessionStarted, UserFeeling
from oviya.client.speaking import GATEWAY_ADDRESS
from oviya.errors import OviyaError

MAX_RATE_HZ = 16_000
"""Speech-to-text uses no higher rate."""
MAX_TALK_S = 3600.0
"""Longest recording in seconds: it is sent at the pace of speech, and a session of the gateway lasts no longer."""
STAGES = ("turn end", "final transcript", "first sentence", "first frame", "first audio", "first audio here")


class NoReply(OviyaError):
    """The gateway received the recording but gave no reply."""


def talk(
    recording: RecordingFile,
    out: OutFile,
    speaker: Speaker = 0,
    voice: VoiceName = VoiceChoice.AUTO,
    lead: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds of reply that may come ahead of its playing; 0: all at once."),
    ] = None,
    explain: Explain = False,
    session: SessionName = "",
    token: SessionToken = "",
    address: Address = GATEWAY_ADDRESS,
    as_json: AsJson = False,
) -> None:
    """Send a recording at the pace of speech, print the conversation and write the reply to a WAV file."""
    output = Output(as_json)
    with exit_on_error(output):
        check_writable(out)
        problems: list[str] = []
        samples, rate_hz = read_recording(
            recording, max_rate_hz=MAX_RATE_HZ, max_duration_s=MAX_TALK_S, on_problem=problems.append
        )
        for problem in problems:
            output.warning(f"{recording}: {problem}")
        shown: list[Sentence] = []
        token = (token or stored_token(address, session)) if session else ""

        def on_event(event: ConverseEvent) -> None:
            if isinstance(event, SessionStarted):
                keep_token(output, address, event, named=bool(session))
            if isinstance(event, Sentence):
                if event in shown:  # a resumed reply announces it again
                    return
                shown.append(event)
            if parts := event_line(event):
                output.text(*parts)
            if explain and isinstance(event, UserFeeling):
                for heading, text in explained(event):
                    output.text((f"  {heading:5}  ", "bold"), text)

        async def converse() -> ConversationRecord:
            async with (
                Oviya(address, use_proxy=False) as oviya,
                oviya.converse(
                    input_rate_hz=rate_hz, speaker=speaker, voice=voice.value, lead_s=lead,
                    session_id=session, resume_token=token,
                    echo_cancellation="caller",  # a recording holds no echo
                ) as conversation,
            ):  # fmt: skip
                return await play_recording(conversation, samples, rate_hz, on_event)

        record = asyncio.run(converse())
        errors = [turn.error for turn in record.turns.values() if turn.error is not None]
        if not len(record.reply):
            raise errors[0] if errors else NoReply("no speech was heard", hint=f"listen to {recording}: is it speech?")
        write_recording(out, record.reply, record.sample_rate_hz)
        reply_s = len(record.reply) / record.sample_rate_hz
        if not as_json:
            output.console.print(_latency_table(record))
            output.text(f"{out}: {reply_s:.2f} s")
        sent = {"file": str(recording), "duration_s": len(samples) / rate_hz, "problems": problems}
        output.document(sent | {"out": str(out), "reply_duration_s": reply_s} | report_of(record))
        if errors:  # another turn was answered, so the file and the report, with the error, are still written
            raise typer.Exit(exit_code(errors[0]))


def _latency_table(record: ConversationRecord) -> Table:
    turns = [turn for turn in record.turns.values() if turn.dropped is None]
    numbers = (f"turn {turn.number}" for turn in turns)
    table = Table("seconds after the end of speech", *numbers, box=None, pad_edge=False)
    columns = [list(turn.latencies.values()) for turn in turns]
    for stage, *cells in zip(STAGES, *columns, strict=True):
        table.add_row(stage, *("-" if cell is None else f"{cell:.2f}" for cell in cells))
    return table
