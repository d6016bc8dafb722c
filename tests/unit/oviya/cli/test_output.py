"""What others typed is shown by a terminal, and never acted on; tokens are stored for their owner alone."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from oviya.cli import tokens
from oviya.cli.output import Output, printable
from oviya.errors import OviyaError

CONTROLS = [
    *map(chr, range(0x20)),
    *map(chr, range(0x7F, 0xA0)),
    *"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, Grüße, 你好, שלום, 👩‍👩‍👧 [bold]", "plain, Grüße, 你好, שלום, 👩‍👩‍👧 [bold]"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x1b]52;c;cm0gLXJm\x07", "\\x1b]52;c;cm0gLXJm\\x07"),
        ("\x9b2J\x90q\x9c", "\\x9b2J\\x90q\\x9c"),
        ("a\rb\nc\td", "a b c\td"),
        ("txt.\u202eexe", "txt.\\u202eexe"),
    ],
)
def test_terminal_controls_are_shown_as_their_code(text, shown):
    assert printable(text) == shown


@pytest.mark.parametrize("control", CONTROLS)
def test_no_control_reaches_the_terminal(control, capsys):
    text = f"before{control}after"
    Output(as_json=False).text((text, "bold"), text)
    Output(as_json=False).error(OviyaError(text, hint=text))
    out, err = capsys.readouterr()
    allowed = "\t\n"
    assert not {c for c in out + err if c in CONTROLS and c not in allowed}
    assert (out + err).count("\n") == 3
    Output(as_json=True).document({"text": text})
    out, _ = capsys.readouterr()
    assert json.loads(out) == {"text": text}
    assert not {c for c in out.rstrip("\n") if c in CONTROLS}


def no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_tokens_are_stored_for_their_owner_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert tokens.stored_token("host:1", "s") == ""
    tokens.store_token("host:1", "s", "secret")
    file = tmp_path / "state" / "oviya" / "sessions.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o644)
    tokens.store_token("host:1", "t", "another")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert tokens.stored_token("host:1", "s") == "secret"
    assert tokens.stored_token("elsewhere:1", "s") == ""  # no other gateway is sent it
    tokens.forget_token("host:1", "s")
    assert (tokens.stored_token("host:1", "s"), tokens.stored_token("host:1", "t")) == ("", "another")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    assert tokens.stored_token("host:1", "t") == ""
    with pytest.raises(OSError, match="no home"):
        tokens.store_token("host:1", "t", "another")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file.write_text("{ this is no JSON")
    assert tokens.stored_token("host:1", "t") == ""
    monkeypatch.setattr(tokens, "MAX_TOKENS", 2)
    for name in "abc":
        tokens.store_token("host:1", name, name)
    assert [tokens.stored_token("host:1", name) for name in "abc"] == ["", "b", "c"]
