"""Stores the tokens of sessions and voices of this user, in a file that only its owner can read."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from pathlib import Path
from typing import Any, cast

MAX_TOKENS = 1000
"""Number of tokens that are stored; older ones are dropped."""
_PRIVATE_FOLDER = 0o700


def tokens_file() -> Path:
    """Returns the file of the tokens: below $XDG_STATE_HOME, by default ~/.local/state.

    Raises:
        OSError: the user has no home directory, e.g. in a container.
    """
    state = os.environ.get("XDG_STATE_HOME", "")
    try:
        # Relative paths are ignored, as the XDG specification requires.
        folder = Path(state) if Path(state).is_absolute() else Path.home() / ".local" / "state"
    except RuntimeError as error:
        raise OSError(errno.ENOENT, "there is no home directory") from error
    return folder / "oviya" / "sessions.json"


def stored_token(address: str, session_id: str) -> str:
    """Returns the token of a session at a gateway; empty: none is stored."""
    return _read().get(_key(address, session_id), "")


def store_token(address: str, session_id: str, token: str) -> None:
    """Stores the token of a session at a gateway.

    Raises:
        OSError: the file cannot be written.
    """
    _store(_key(address, session_id), token)


def forget_token(address: str, session_id: str) -> None:
    """Removes the token of a session.

    Raises:
        OSError: the file cannot be written.
    """
    tokens = _read()
    if tokens.pop(_key(address, session_id), None) is not None:
        _write(tokens)


def voice_token(address: str, name: str) -> str:
    """Returns the token of a voice that is kept at a gateway; empty: none is stored."""
    return _read().get(_voice_key(address, name), "")


def store_voice_token(address: str, name: str, token: str) -> None:
    """Stores the token of a voice that is kept at a gateway.

    Raises:
        OSError: the file cannot be written.
    """
    _store(_voice_key(address, name), token)


def _store(key: str, token: str) -> None:
    tokens = _read()
    tokens.pop(key, None)  # the newest are the last
    tokens[key] = token
    _write(dict(list(tokens.items())[-MAX_TOKENS:]))


def _voice_key(address: str, name: str) -> str:
    return f"{address}/voices {name}"  # not the key of a session: no address ends like this


def _key(address: str, session_id: str) -> str:
    # A token is only ever sent to the address that issued it.
    return f"{address} {session_id}"


def _read() -> dict[str, str]:
    try:
        value: Any = json.loads(tokens_file().read_text("utf-8"))
    except (OSError, ValueError):  # there is no file, or it is damaged
        return {}
    if not isinstance(value, dict):
        return {}
    items = cast("dict[str, Any]", value).items()
    return {key: token for key, token in items if isinstance(token, str)}


def _write(tokens: dict[str, str]) -> None:
    file = tokens_file()
    file.parent.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
    # A temporary file is only readable by its owner, and replaces the old one atomically.
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=file.name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(tokens, stream)
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
