"""Verbalizes addresses: URLs, e-mail addresses, IP addresses, file names and paths."""

from __future__ import annotations

import re

from oviya.text.speakable.words import digits, year

_URL = re.compile(r"(?<![\w@])(?:(?:https?|ftp|wss?|git|ssh)://|www\.)[^\s<>\"'\u300d]++", re.IGNORECASE)
_ENDINGS = (
    "com|org|net|edu|gov|mil|int|io|ai|dev|app|co|uk|de|fr|info|me|eu|us|ca|au|nz|ch|at|nl|be|es|it|pt|pl|se|no|dk|fi|ie"
    "|in|jp|cn|kr|br|mx|ru|tv|fm|gg|ly|biz|name|pro|xyz|online|site|store|shop|tech|cloud|blog|news|page|wiki|live|chat"
)
_DOMAIN = re.compile(
    rf"(?<![\w@.-])(?:[a-z0-9](?:[a-z0-9-]{{0,62}})\.){{1,5}}(?:{_ENDINGS})(?![\w-])(?:(?::\d{{2,5}})?(?:/[^\s<>\"']*+)?)",
    re.IGNORECASE,
)
_MAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}(?![\w-])")
_IP = re.compile(r"(?<![\w.])(\d{1,3}(?:\.\d{1,3}){3})(/\d{1,2})?(:\d{2,5})?(?![\w.]*\d)")
_HOST_PORT = re.compile(r"\b(localhost|[a-z][a-z0-9-]{0,62}):(\d{2,5})(?![\d:])", re.IGNORECASE)
_FILE_ENDINGS = (
    "py|js|ts|tsx|jsx|css|html?|json|ya?ml|toml|md|txt|csv|tsv|xml|pdf|docx?|xlsx?|pptx?|png|jpe?g|gif|svg|webp|mp3|mp4"
    "|wav|ogg|flac|webm|mov|avi|zip|tar|gz|bz2|7z|exe|dll|so|sh|bat|ini|cfg|conf|log|sql|db|java|cpp|hpp|rs|go|rb|php|ipynb"
    "|env|lock|safetensors|proto|epub|apk|iso|bin|dat|bak|tmp"
)
_FILE = re.compile(rf"(?<![\w@./\\-])[\w-]{{1,80}}(?:\.[\w-]{{1,40}}){{0,3}}\.(?:{_FILE_ENDINGS})(?![\w-])")
_GLOB = re.compile(r"(?<![\w*])\*\.(?=[A-Za-z])")
_PATH = re.compile(r"(?<![\w/.:<])(?:~|\.{1,2})?(?:/[\w.@+-]{1,80}){2,20}/?(?![\w/])|(?<![\w/])~/[\w.@+/-]{1,200}")
_WINDOWS_PATH = re.compile(r"(?<!\w)([A-Za-z]):\\([\w.\\ -]{0,200}[\w-])")
_HANDLE = re.compile(r"(?<![\w@.])@([A-Za-z_][\w.]{0,40}\b)")
_HASHTAG = re.compile(r"(?<![\w&#])#([A-Za-z_][\w-]{0,80})")
_REST = re.compile(r"^dot ([a-z0-9.-]{1,60}\b)((?:/[\w.@+-]{1,80}){1,20})?")
_DOTTED = re.compile(r"(?<![\w.@])([A-Za-z][A-Za-z0-9_]{1,40})((?:\.[a-z_][A-Za-z0-9_]{0,40}){1,5})(?![\w.]*@)(?=\W|$)")
_DOT_NAME = re.compile(r"(?<![\w.])\.([A-Za-z][A-Za-z0-9]{1,15})\b")
_TAG_YEAR = re.compile(r"(?<=[^\W\d]) ?(19\d\d|20\d\d)$")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_TRAILING = ".,;:!?)]}\u2026\u201d\u2019*_"
_SIGNS = {
    ".": " dot ", "-": " dash ", "_": " underscore ", "+": " plus ", "@": " at ", "/": " slash ", "~": " tilde ",
    "%": " percent ", "\\": " backslash ", ":": " colon ", "=": " equals ", "&": " and ",
}  # fmt: skip
_SPELLED = frozenset({"py", "js", "ts", "md", "gz", "rs", "db", "sh", "css", "html", "htm", "xml", "csv", "tsv", "svg"})
MAX_PATH_PARTS = 2
"""Parts of a path that are spoken; the rest of an address is omitted."""
_ABBREVIATED = frozenset({"a.m", "p.m", "e.g", "i.e", "ph.d"})


def say_addresses(text: str) -> str:
    """Verbalizes addresses: "anna@example.com" is "anna at example dot com"."""
    if text.startswith("dot "):  # written by the segmenter for the rest of an address
        text = _REST.sub(_say_rest, text)
    if "." in text or ":" in text or "/" in text or "\\" in text:
        text = _MAIL.sub(lambda at: _spelled(at[0]), text.replace("mailto:", ""))
        text = _URL.sub(_say_url, text)
        text = _WINDOWS_PATH.sub(lambda at: f"{at[1]} colon {_spelled(chr(92) + at[2])}", text)
        text = _IP.sub(_say_ip, text)
        text = _GLOB.sub("star dot ", text)
        text = _FILE.sub(lambda at: _say_file(at[0]), text)
        text = _DOMAIN.sub(_say_url, text)
        text = _HOST_PORT.sub(_say_port, text)
        text = _PATH.sub(lambda at: _say_path(at[0]), text)
        text = _DOTTED.sub(_say_dotted, text)
        text = _DOT_NAME.sub(r"dot \1", text)
    text = _HASHTAG.sub(lambda at: f"hashtag {_TAG_YEAR.sub(_say_year, _words(at[1]))}", text)
    return _HANDLE.sub(lambda at: f"at {_spelled(at[1])}", text)


def _say_rest(at: re.Match[str]) -> str:
    if at[2]:
        parts = [part for part in at[2].split("/") if part][:MAX_PATH_PARTS]
        return " slash ".join([f"dot {_spelled(at[1])}", *map(_spelled, parts)])
    return f"dot {_say_ending(at[1])}"


def _say_ending(ending: str) -> str:
    return " ".join(ending) if ending.lower() in _SPELLED and len(ending) < 3 else ending


def _say_url(at: re.Match[str]) -> str:
    address = at[0].rstrip(_TRAILING)
    rest = at[0][len(address) :]
    address = re.sub(r"^(?:\w+://)?(?:www\.)?", "", address, flags=re.IGNORECASE)
    host, _, path = re.split(r"[?#]", address, maxsplit=1)[0].partition("/")
    host, _, port = host.rpartition("@")[2].partition(":")
    parts = [part for part in path.split("/") if part][:MAX_PATH_PARTS]
    said = _say_numbers_of(host) + (f" port {digits(port)}" if port.isdigit() else "")
    return " slash ".join([said, *map(_spelled, parts)]) + rest


def _say_numbers_of(host: str) -> str:
    found = _IP.fullmatch(host)
    return _say_ip(found) if found else _spelled(host)


def _say_ip(at: re.Match[str]) -> str:
    numbers = at[1].split(".")
    if any(int(number) > 255 for number in numbers):
        return at[0]
    before = at.string[max(0, at.start() - 9) : at.start()].lower().rstrip()
    if before.endswith(("version", "v", "release")):
        return at[0]
    said = " dot ".join(digits(number) for number in numbers)
    if at[2]:
        said += f" slash {at[2][1:]}"
    return said + (f" port {digits(at[3][1:])}" if at[3] else "")


def _say_port(at: re.Match[str]) -> str:
    if at[1].lower() != "localhost" and "." not in at[1]:
        return at[0]
    return f"{at[1]} port {digits(at[2])}"


def _say_file(name: str) -> str:
    base, _, ending = name.rpartition(".")
    return f"{_spelled(base)} dot {_say_ending(ending)}"


def _say_path(path: str) -> str:
    if re.fullmatch(r"(?:/\d+)+/?", path):
        return path
    return " " + _spelled(path.rstrip("/"))


def _say_dotted(at: re.Match[str]) -> str:
    """A name with dots, e.g. "Node.js", or a missing space, "fine.how", which sounds the same."""
    if at[0].lower() in _ABBREVIATED or all(len(part) == 1 for part in at[0].split(".")):
        return at[0]
    return _spelled(at[0])


def _say_year(at: re.Match[str]) -> str:
    return f" {year(int(at[1]))}"


def _words(name: str) -> str:
    return _HUMP.sub(" ", name).replace("_", " ").replace("-", " ")


def _spelled(name: str) -> str:
    return re.sub(r" {2,}", " ", "".join(_SIGNS.get(sign, sign) for sign in name)).strip()
