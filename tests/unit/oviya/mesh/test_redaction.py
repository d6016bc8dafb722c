"""What is taken out of a log line, and what a traceback shows."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from oviya.mesh.redaction import Redactor, hide_url_passwords, log_id, secrets_of, without_values
from oviya.mesh.tracebacks import describe_type, format_exception
from services.gateway.settings import GatewaySettings

SAID = "zebramarker"


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def clean(verbose: bool = False, secrets: tuple[str, ...] = (), **line: Any) -> dict[str, Any]:
    return dict(Redactor(verbose=verbose, secrets=secrets)(None, "info", line))


def record(message: object, *args: object) -> logging.LogRecord:
    """A record as a library makes it, seen by a handler while it is emitted."""
    seen: list[logging.LogRecord] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(without_values(record))

    logger = logging.Logger("library")
    logger.addHandler(Handler())
    if message is None:
        logger.warning("a constant of %s and %d", *args)
    elif message == "constant":
        logger.warning("only a constant")
    else:
        logger.warning(message, *args)
    return seen[0]


def test_a_librarys_record_keeps_its_constant_text_and_numbers():
    assert record(None, SAID, 7).getMessage() == "a constant of [withheld] and 7"
    assert record(None, ValueError(SAID), 7).getMessage() == "a constant of ValueError and 7"
    assert record("constant").getMessage() == "only a constant"


@pytest.mark.parametrize("message", [f"said {SAID}", SAID, ValueError(SAID), {"said": SAID}])
def test_a_librarys_record_that_was_put_together_is_withheld(message: object):
    shown = record(message).getMessage()
    assert SAID not in shown
    assert "library" in shown


def test_exceptions_and_unknown_objects_among_the_values_lose_what_they_hold():
    line = clean(error=ValueError(SAID), thing=object(), items=[ValueError(SAID), 1], table={"key": KeyError(SAID)})
    assert line == {
        "error": "ValueError",
        "thing": "<object>",
        "items": ["ValueError", 1],
        "table": {"key": "KeyError"},
    }
    assert SAID in clean(verbose=True, error=ValueError(SAID))["error"]


def test_names_that_callers_choose_are_hashed_alike_everywhere():
    line = clean(session=SAID, session_id=SAID, request_id=SAID, name="csm")
    assert line == {
        "session": log_id(SAID),
        "session_id": log_id(SAID),
        "request_id": log_id(SAID),
        "name": "csm",
    }
    assert clean(session="") == {"session": ""}
    assert clean(session=log_id(SAID)) == {"session": log_id(SAID)}
    assert len(log_id("\ud800")) == len(log_id("x"))


def test_secrets_and_passwords_in_urls_are_hidden_at_every_level():
    for verbose in (False, True):
        line = clean(verbose, ("hunter22",), event="x hunter22 y", url="redis://user:pw@host/0", exc_info=raised(
            ValueError("hunter22 https://a:b@c/")))  # fmt: skip
        assert "hunter22" not in str(line)
        assert line["url"] == "redis://***@host/0"
        assert "a:b" not in line["exception"]
    assert hide_url_passwords("mail anna@example.com about http://host/@x") == (
        "mail anna@example.com about http://host/@x"
    )


@pytest.mark.parametrize(
    ("store", "secrets"),
    [
        ("redis://user:a-password@host/0", ["a-password"]),
        ("redis://:a-password@host/0", ["a-password"]),
        ("redis://user:a/pass@word@host/0", ["a/pass@word"]),
        ("redis:user:a-password@host", ["user:a-password"]),
        ("redis://host/0", []),
        ("/var/lib/sessions.db", []),
    ],
)
def test_of_a_url_among_the_settings_the_password_is_secret(store: str, secrets: list[str]):
    assert secrets_of(GatewaySettings.model_validate({"session_store": store})) == secrets


def test_the_secrets_of_settings_are_found_and_not_shown():
    settings = GatewaySettings.model_validate({"http_token": "a-token", "turn_credential": "a-credential"})
    assert secrets_of(settings) == ["a-credential", "a-token"]
    assert "a-token" not in repr(settings)
    assert "a-credential" not in str(settings)


def test_a_traceback_shows_types_files_and_lines_of_the_whole_chain_and_no_message():
    first = raised(KeyError(SAID))
    second = ValueError(SAID)
    second.__cause__ = first
    third = TypeError(SAID)
    third.__context__ = raised(second)
    third.add_note(SAID)
    group = ExceptionGroup(SAID, [raised(third), OSError(2, SAID, SAID)])  # type: ignore[list-item]
    text = format_exception(raised(group), messages=False)
    assert SAID not in text
    for shown in ("KeyError", "ValueError", "TypeError", "ExceptionGroup", "FileNotFoundError", "direct cause",
                  "in raised", "raise error", "During handling"):  # fmt: skip
        assert shown in text
    assert describe_type(OSError(2, SAID)) == "FileNotFoundError [ENOENT]"
    assert format_exception(raised(group), messages=True).count(SAID) >= 5


def test_a_chain_that_leads_back_to_itself_or_is_long_ends():
    error = ValueError(SAID)
    error.__cause__ = error
    assert format_exception(error, messages=False).count("ValueError") == 1
    last: BaseException = ValueError()
    for _ in range(1000):
        following = ValueError()
        following.__cause__ = last
        last = following
    assert format_exception(last, messages=False).count("ValueError") <= 20


def test_an_exception_that_cannot_say_what_it_is_is_still_shown():
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert "Mute" in format_exception(raised(Mute()), messages=True)
