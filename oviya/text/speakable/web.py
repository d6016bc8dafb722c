"""Says addresses: of the web, of mail."""

from __future__ import annotations

import re

_URL = re.compile(r"\b(?:https?://|ftp://|www\.)[^\s<>\"']+", re.IGNORECASE)
_DOMAIN = re.compile(
    r"\b(?:[a-z0-9-]{1,63}\.){1,4}(?:com|org|net|edu|gov|io|ai|dev|app|co|uk|de|fr|info|me|eu)\b(?:/[^\s<>\"']*)?",
    re.IGNORECASE,
)
_MAIL = re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}\b")
_TRAILING = ".,;:!?)]\u2026"
_SIGNS = {".": " dot ", "-": " dash ", "_": " underscore ", "+": " plus ", "@": " at "}
MAX_PATH_PARTS = 2
"""Parts of a path that are said; the rest of an address is for reading, not for hearing."""


def say_addresses(text: str) -> str:
    """`text` with addresses said: "anna@example.com" is "anna at example dot com"."""
    text = _MAIL.sub(lambda found: _spelled(found[0]), text)
    text = _URL.sub(_say_url, text)
    return _DOMAIN.sub(_say_url, text)


def _say_url(found: re.Match[str]) -> str:
    address = found[0].rstrip(_TRAILING)
    rest = found[0][len(address) :]
    address = re.sub(r"^(?:\w+://)?(?:www\.)?", "", address, flags=re.IGNORECASE)
    host, _, path = re.split(r"[?#]", address, maxsplit=1)[0].partition("/")
    parts = [part for part in path.split("/") if part][:MAX_PATH_PARTS]
    return " slash ".join([_spelled(host.partition(":")[0]), *map(_spelled, parts)]) + rest


def _spelled(name: str) -> str:
    return re.sub(r" +", " ", "".join(_SIGNS.get(sign, sign) for sign in name)).strip()
