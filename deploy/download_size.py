"""The size of a download, before it starts."""

from __future__ import annotations

import urllib.parse
import urllib.request
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HEAD_TIMEOUT_S = 5.0
PARALLEL = 8
KB, MB, GB = 10**3, 10**6, 10**9


def download_size(urls: Iterable[str]) -> int | None:
    """Returns the total size of all files in bytes; None if a server does not report one."""
    with ThreadPoolExecutor(PARALLEL) as pool:
        sizes = list(pool.map(_size, urls))
    known = [size for size in sizes if size is not None]
    return sum(known) if sizes and len(known) == len(sizes) else None


def format_size(size_bytes: int | None) -> str:
    """Formats a size, e.g. `192 MB`."""
    if size_bytes is None:
        return "size unknown"
    for unit, name, digits in ((GB, "GB", 1), (MB, "MB", 0)):
        if size_bytes >= unit:
            return f"{size_bytes / unit:.{digits}f} {name}"
    return f"{size_bytes / KB:.0f} kB"


def _size(url: str) -> int | None:
    parts = urllib.parse.urlsplit(url)
    try:
        if parts.scheme == "file":
            return Path(urllib.request.url2pathname(parts.path)).stat().st_size
        if parts.scheme not in ("http", "https"):
            return None
        request = urllib.request.Request(url, method="HEAD")
        with urllib.request.urlopen(request, timeout=HEAD_TIMEOUT_S) as answer:
            return int(answer.headers["Content-Length"])
    except (OSError, ValueError, TypeError):
        return None
