"""Keeps the token of a session that a command opened."""

from __future__ import annotations

from oviya.cli.output import Output
from oviya.cli.tokens import store_token, tokens_file
from oviya.client import SessionStarted


def keep_token(output: Output, address: str, started: SessionStarted, *, named: bool) -> None:
    """Stores the token of a session that the gateway keeps, and prints where."""
    if not started.resume_token:
        return
    try:
        store_token(address, started.session_id, started.resume_token)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        output.text(("session  ", "bold"), f"{started.session_id}; its token, which could not be stored ({reason}): ",
                    started.resume_token)  # fmt: skip
    else:
        if named:
            output.text(("session  ", "bold"), f"{started.session_id}; its token is in {tokens_file()}")
