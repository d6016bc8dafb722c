"""`oviya chat`: a conversation in the terminal, with microphone and loudspeaker."""

from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from oviya.audio.device import open_device
from oviya.audio.device.sound_card import list_devices
from oviya.cli.chatting.display import Display
from oviya.cli.chatting.keyboard import keyboard
from oviya.cli.chatting.own_voice import OwnVoice
from oviya.cli.chatting.session import ChatSession, Options
from oviya.cli.conversation_report import report_of
from oviya.cli.options import Address, AsJson, Explain, SessionName, SessionToken, Speaker, VoiceChoice, VoiceName
from oviya.cli.output import Output, exit_on_error, printable
from oviya.cli.session_token import keep_token
from oviya.cli.tokens import stored_token
from oviya.client import ConverseEvent, Oviya, SessionStarted, VoiceSet
from oviya.client.speaking import GATEWAY_ADDRESS

LIST = "list"


def chat(
    device: Annotated[
        str,
        typer.Option(
            "--device",
            help="Sound card to use, by number or part of its name; list: show them; file:IN.WAV,OUT.WAV: a recording "
            "instead of the microphone, and a file instead of the loudspeaker.",
        ),
    ] = "",
    microphone: Annotated[str, typer.Option("--microphone", help="Another sound card for the microphone.")] = "",
    loudspeaker: Annotated[str, typer.Option("--loudspeaker", help="Another sound card for the loudspeaker.")] = "",
    headset: Annotated[
        bool, typer.Option("--headset", help="The microphone does not hear the loudspeaker: no echo is removed.")
    ] = False,
    push_to_talk: Annotated[
        bool, typer.Option("--push-to-talk", "-p", help="Listen only after space or enter, until the next one.")
    ] = False,
    type_only: Annotated[bool, typer.Option("--type", "-t", help="Only type; the microphone stays off.")] = False,
    speaker: Speaker = 0,
    voice: VoiceName = VoiceChoice.AUTO,
    emotion: Annotated[
        str, typer.Option("--emotion", "-e", help="Emotion of the replies; by default each reply has its own.")
    ] = "",
    clip: Annotated[
        Path | None, typer.Option("--clip", help="Speak with the voice in this recording: one person, 3 to 30 s.")
    ] = None,
    keep_as: Annotated[str, typer.Option("--keep-as", help="Keep the voice of --clip under this name.")] = "",
    consent: Annotated[
        bool, typer.Option("--consent", help="The person in --clip agrees that the voice is kept and spoken with.")
    ] = False,
    own_voice: Annotated[str, typer.Option("--own-voice", help="Speak with the voice that is kept by this name.")] = "",
    explain: Explain = False,
    session: SessionName = "",
    token: SessionToken = "",
    address: Address = GATEWAY_ADDRESS,
    as_json: AsJson = False,
) -> None:
    """Talk with Oviya: speak, type, and interrupt it.  Ctrl-C hangs up."""
    output = Output(as_json)
    with exit_on_error(output):
        if device == LIST:
            _print_devices(output)
            return
        own = OwnVoice.choose(output, address, clip=clip, keep_as=keep_as, consent=consent, kept=own_voice)
        sound = open_device(device, microphone=microphone, loudspeaker=loudspeaker, listening=not type_only)
        token = (token or stored_token(address, session)) if session else ""
        live = output.console.is_terminal and sys.stdin.isatty() and not as_json
        options = Options(listening=not type_only, push_to_talk=push_to_talk and not type_only, terminal=live)
        display = Display(output, live=live, explain=explain)

        def on_event(event: ConverseEvent) -> None:
            if isinstance(event, SessionStarted):
                keep_token(output, address, event, named=bool(session))
            elif isinstance(event, VoiceSet):
                own.keep(event)

        async def converse() -> ChatSession:
            async with (
                Oviya(address, use_proxy=False) as oviya,
                oviya.converse(
                    input_rate_hz=sound.input_rate_hz, output_rate_hz=sound.output_rate_hz,
                    speaker=speaker, voice=voice.value, session_id=session, resume_token=token,
                    echo_cancellation="caller" if headset or type_only else "gateway",
                ) as conversation,
            ):  # fmt: skip
                await own.set(conversation)
                if emotion:
                    await conversation.set_emotion(emotion)
                held = ChatSession(conversation, sound, display, options, on_event)
                await _hold(held, display, options)
                return held

        held = asyncio.run(converse())
        if held.loudspeaker.underruns:
            output.text((f"gaps in the sound, which came too late: {held.loudspeaker.underruns}", "yellow"))
        output.document(report_of(held.record) | {"underruns": held.loudspeaker.underruns})


async def _hold(session: ChatSession, display: Display, options: Options) -> None:
    """Holds the conversation until it is over or a signal hangs up."""
    running, loop = asyncio.create_task(session.run()), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, running.cancel)
    keys = keyboard(session.take, display.typing, terminal=options.terminal, space_is_key=options.push_to_talk)
    with display, keys:
        await asyncio.wait([running])
    if not running.cancelled():
        running.result()


def _print_devices(output: Output) -> None:
    devices = list_devices()
    table = Table("number", "name", "microphones", "loudspeakers", "", box=None, pad_edge=False)
    for each in devices:
        default = "default" if each.is_default else ""
        table.add_row(str(each.number), Text(printable(each.name)), str(each.inputs), str(each.outputs), default)
    if not output.as_json:
        output.console.print(table if devices else "there are no sound devices")
    output.document({"devices": [asdict(each) for each in devices]})
