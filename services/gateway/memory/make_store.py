"""Creates the store that the settings name."""

from __future__ import annotations

from pathlib import Path

from oviya.errors import OviyaError
from services.gateway.memory.redis import RedisStore
from services.gateway.memory.sqlite import SqliteStore
from services.gateway.memory.store import Store, StoreLimits


def make_store(where: str, limits: StoreLimits) -> Store | None:
    """Returns the store for `where`: a Redis URL, the path of a SQLite file, or empty for none.

    Raises:
        OviyaError: `where` cannot be used.
    """
    if not where:
        return None
    scheme, separator, _ = where.partition("://")
    if separator and scheme not in ("redis", "rediss"):
        # The rest of the URL may contain a password, so it is not repeated.
        raise OviyaError(f"GATEWAY_SESSION_STORE={scheme}://... cannot be used",
                         hint="use the path of a file, or redis://host:6379/0")  # fmt: skip
    if separator:
        return RedisStore(where, limits)
    path = Path(where)
    if not path.parent.is_dir():
        raise OviyaError(f"GATEWAY_SESSION_STORE={where}: there is no folder {path.parent}", hint="create it first")
    return SqliteStore(path, limits)
