"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class VoiceChoice(StrEnum):
    """The voices."""

    AUTO = "auto"
    CSM = "csm"
    FALLBACK = "fallback"


SessionToken = Annotated[
    str,
    typer.Option(
        "--token",
        envvar="OVIYA_SESSION_TOKEN",
        help="The session's token; without it, the one that `oviya talk` stored on this machine.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, and nothing else.")]
Address = Annotated[
    str, typer.Option("--address", "-a", envvar="OVIYA_ADDRESS", help="The gateway's gRPC address, host:port.")
]
SttAddress = Annotated[
    str,
    typer.Option(
        "--address", "-a", envvar="OVIYA_STT_ADDRESS", help="The speech-to-text service's address, host:port."
    ),
]
Speaker = Annotated[int, typer.Option("--speaker", min=0, max=65535, help="Speaker id of the voice.")]
VoiceName = Annotated[
    VoiceChoice,
    typer.Option(
        "--voice", help="csm: the neural voice; fallback: espeak-ng; auto: csm where its weights are trained."
    ),
]
RecordingFile = Annotated[
    Path,
    typer.Argument(metavar="RECORDING", help="A sound or video file of any kind that FFmpeg reads; -: standard input."),
]
OutFile = Annotated[Path, typer.Option("--out", "-o", metavar="OUT.WAV", help="The WAV file to write.")]

Explain = Annotated[
    bool, typer.Option("--explain", help="Say why: what voice and words show, and which tone answers it.")
]
SessionName = Annotated[
    str, typer.Option("--session", help="Name of the session; an earlier one goes on where it ended.")
]
