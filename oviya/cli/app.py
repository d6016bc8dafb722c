"""The Typer application with all commands."""

from __future__ import annotations

from typing import Annotated

import typer

import oviya
from oviya.cli.chat import chat
from oviya.cli.doctor import doctor
from oviya.cli.say import say
from oviya.cli.session import app as session
from oviya.cli.talk import talk
from oviya.cli.transcribe import transcribe
from oviya.cli.up import up

app = typer.Typer(
    name="oviya",
    help="Self-hosted spoken conversation.  Start with `oviya up`, then open the page that it names.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # unexpected errors print a plain traceback for bug reports
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (up, chat, say, talk, transcribe, doctor):
    app.command()(command)
app.add_typer(session, name="session")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(oviya.__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Handles the options before a command."""
