"""Redacts log lines: they must not contain what users say, secrets, or names of sessions.

Above debug level a line consists of constants, numbers, and strings that our own code chose to log.  Messages of
exceptions and arguments of other libraries' records are removed, because they may contain anything.
"""

from __future__ import annotations

import hashlib
import logging
import re
import sys
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import PurePath
from types import CodeType
from typing import Any, cast

import structlog
from pydantic import BaseModel, SecretStr

from oviya.mesh.settings import SecretUrl
from oviya.mesh.tracebacks import describe_type, format_exception

NAMES = frozenset({"session", "session_id", "request_id"})
"""Keys whose values are chosen by callers.  They are logged as hashes."""
HASH_CHARS = 12
"""Hex digits of a hashed name, enough to identify a session in the logs of all services."""
HIDDEN = "***"
WITHHELD = "[withheld]"

_URL_PASSWORD = re.compile(r"(?<=://)[^\s/@]*@")
_MIN_SECRET_CHARS = 4
"""Shorter secrets are not searched for in log lines: they would match parts of ordinary words."""


class LogId(str):
    """A hashed name."""

    __slots__ = ()


def log_id(name: str) -> LogId:
    """Hashes a name that a caller chose, such as a session's, for the log: names may identify people.

    The result is the beginning of the name's SHA-256, the same in all services:
    ``printf %s NAME | sha256sum | cut -c1-12``.
    """
    if isinstance(name, LogId):
        return name
    return LogId(hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_CHARS])


def hide_url_passwords(text: str) -> str:
    """Replaces user names and passwords in the URLs of `text`."""
    return _URL_PASSWORD.sub(f"{HIDDEN}@", text)


def secrets_of(settings: BaseModel) -> list[str]:
    """Returns the secrets in `settings`, longest first."""
    secrets: set[str] = set()
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretUrl):
            secrets.add(_password_of(value.get_secret_value()))
        elif isinstance(value, SecretStr):
            secrets.add(value.get_secret_value())
    return sorted((secret for secret in secrets if len(secret) >= _MIN_SECRET_CHARS), key=len, reverse=True)


def _password_of(url: str) -> str:
    """Returns the password in a URL, even a malformed one: the text before the last "@", without the user's name."""
    credentials = url.partition("://")[2].rpartition("@")[0] if "://" in url else url.rpartition("@")[0]
    return credentials.partition(":")[2] or credentials


class Redactor:
    """A structlog processor that redacts lines: `secrets` always, messages of exceptions unless `verbose`."""

    def __init__(self, *, verbose: bool, secrets: Iterable[str] = ()) -> None:
        self._verbose = verbose
        self._secrets = tuple(secrets)

    def __call__(self, _logger: Any, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
        error = _exception_of(line.pop("exc_info", None))
        for key, value in line.items():
            if not key.startswith("_"):  # structlog's own
                line[key] = self._name(value) if key in NAMES and value else self._clean(value)
        if error is not None:
            line["exception"] = self._clean(format_exception(error, messages=self._verbose))
        return line

    def _name(self, value: Any) -> str:
        return str(log_id(value if isinstance(value, str) else str(value)))

    def _clean(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str | PurePath | Enum):
            return self._clean_text(str(value))
        if isinstance(value, BaseException):
            return self._clean_text(f"{describe_type(value)}: {value}") if self._verbose else describe_type(value)
        if isinstance(value, Mapping):
            items = cast("Mapping[Any, Any]", value).items()
            return {str(key): self._clean(each) for key, each in items}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._clean(each) for each in cast("Iterable[Any]", value)]
        return self._clean_text(repr(value)) if self._verbose else f"<{type(value).__name__}>"

    def _clean_text(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return hide_url_passwords(text)


class WithoutArguments:
    """Replaces an argument that is not a number."""

    def __init__(self, value: object) -> None:
        self._text = describe_type(value) if isinstance(value, BaseException) else WITHHELD

    def __str__(self) -> str:
        return self._text

    __repr__ = __str__


def without_values(record: logging.LogRecord) -> logging.LogRecord:
    """Returns a copy of another library's record with only constants of its code, numbers and exception types.

    Call it while the record is emitted: the caller's frame on the stack shows whether the message is a constant.
    """
    copy = logging.makeLogRecord(record.__dict__)
    if copy.args:
        copy.args = _without_values(copy.args)
    elif not (isinstance(copy.msg, str) and _is_constant(copy.msg, record)):
        copy.msg = f"{record.name}: {WITHHELD}, from {record.module}.py line {record.lineno}"
    return copy


def _without_values(args: Any) -> Any:
    def keep(value: Any) -> Any:
        return value if isinstance(value, bool | int | float) else WithoutArguments(value)

    if isinstance(args, Mapping):
        return {key: keep(value) for key, value in cast("Mapping[Any, Any]", args).items()}
    return tuple(keep(value) for value in args)


def _is_constant(text: str, record: logging.LogRecord) -> bool:
    """Whether `text` is a constant of the function that logs `record`."""
    frame = sys._getframe()  # pyright: ignore[reportPrivateUsage]
    while frame is not None:
        code: CodeType = frame.f_code
        if frame.f_lineno == record.lineno and code.co_filename == record.pathname:
            return text in code.co_consts
        frame = frame.f_back
    return False


def _exception_of(exc_info: Any) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return cast("tuple[Any, BaseException | None, Any]", exc_info)[1]
    return sys.exc_info()[1] if exc_info else None
