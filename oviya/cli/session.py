"""`oviya session`: shows or deletes what the gateway keeps of a session."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated

import typer

from oviya.cli.options import Address, AsJson, SessionToken
from oviya.cli.output import Output, exit_on_error
from oviya.cli.tokens import forget_token, stored_token
from oviya.client import KeptSession, Oviya
from oviya.client.speaking import GATEWAY_ADDRESS

app = typer.Typer(help="Show or delete what the gateway keeps of a session.", no_args_is_help=True)

SessionId = Annotated[str, typer.Argument(metavar="SESSION", help="Name of the session.")]


@app.command()
def export(
    session: SessionId, token: SessionToken = "", address: Address = GATEWAY_ADDRESS, as_json: AsJson = False
) -> None:
    """Print all turns that are kept of a session, and the summary of the older ones."""
    output = Output(as_json)
    with exit_on_error(output):
        kept = asyncio.run(_export(address, session, token or stored_token(address, session)))
        for turn in kept.turns:
            speaker = "you    " if turn.role == "user" else "oviya  "
            output.text((f"{turn.at:%Y-%m-%d %H:%M:%S}  ", "dim"), (speaker, "bold"), turn.text)
        if kept.summary:
            output.text(("summary  ", "bold"), kept.summary)
        if not kept.turns:
            output.text(f"nothing is kept of a session named {session}")
        turns = [{"at": turn.at.isoformat(), "role": turn.role, "text": turn.text} for turn in kept.turns]
        output.document({"session_id": session, "turns": turns, "summary": kept.summary})


@app.command()
def delete(
    session: SessionId, token: SessionToken = "", address: Address = GATEWAY_ADDRESS, as_json: AsJson = False
) -> None:
    """Forget a session: its turns and its summary."""
    output = Output(as_json)
    with exit_on_error(output):
        turns = asyncio.run(_delete(address, session, token or stored_token(address, session)))
        with suppress(OSError):  # a leftover token is harmless
            forget_token(address, session)
        output.text(f"{turns} turns are forgotten" if turns else f"nothing was kept of a session named {session}")
        output.document({"session_id": session, "deleted_turns": turns})


async def _export(address: str, session: str, token: str) -> KeptSession:
    async with Oviya(address, use_proxy=False) as oviya:
        return await oviya.export_session(session, token)


async def _delete(address: str, session: str, token: str) -> int:
    async with Oviya(address, use_proxy=False) as oviya:
        return await oviya.delete_session(session, token)
