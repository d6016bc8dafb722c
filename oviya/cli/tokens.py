"""The tokens of the sessions that were opened from this machine, in a file that only its owner can read."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from pathlib import Path
from typing import Any, cast

MAX_TOKENS = 1000
"""Newest tokens that are stored."""
_PRIVATE_FOLDER = 0o700


def tokens_file() -> Path:
    """Returns where tokens are stored: below $XDG_STATE_HOME, by default ~/.local/state.

    Raises:
        OSError: the user has no home, as some users in containers.
    """
    state = os.environ.get("XDG_STATE_HOME", "")
    try:
        # The XDG specification says that a relative path is to be ignored.
        folder = Path(state) if Path(state).is_absolute() else Path.home() / ".local" / "state"
    except RuntimeError as error:
        raise OSError(errno.ENOENT, "there is no home directory") from error
    return folder / "oviya" / "sessions.json"


def stored_token(address: str, session_id: str) -> str:
    """Returns the token of a session at a gateway; empty where none is stored."""
    return _read().get(_key(address, session_id), "")


def store_token(address: str, session_id: str, token: str) -> None:
    """Stores the token of a session at a gateway.

    Raises:
        OSError: the file cannot be written.
    """
    tokens = _read()
    tokens.pop(_key(address, session_id), None)
    tokens[_key(address, session_id)] = token
    _write(dict(list(tokens.items())[-MAX_TOKENS:]))


def forget_token(address: str, session_id: str) -> None:
    """Removes the token of a session that was deleted.

    Raises:
        OSError: the file cannot be written.
    """
    tokens = _read()
    if tokens.pop(_key(address, session_id), None) is not None:
        _write(tokens)


def _key(address: str, session_id: str) -> str:
    # A token is sent only to the address that it came from.
    return f"{address} {session_id}"


def _read() -> dict[str, str]:
    try:
        value: Any = json.loads(tokens_file().read_text("utf-8"))
    except (OSError, ValueError):  # none are stored, or nobody can use what is
        return {}
    if not isinstance(value, dict):
        return {}
    items = cast("dict[str, Any]", value).items()
    return {key: token for key, token in items if isinstance(token, str)}


def _write(tokens: dict[str, str]) -> None:
    file = tokens_file()
    file.parent.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
    # A temporary file is readable by its owner alone, and replaces the old one as a whole.
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=file.name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(tokens, stream)
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
