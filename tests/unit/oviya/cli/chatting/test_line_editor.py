"""What the bytes of a terminal mean."""

from __future__ import annotations

import pytest

from oviya.cli.chatting.line_editor import EndOfInput, Line, LineEditor, TalkKey


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        (b"Hello there.\r", "Hello there."),
        (b"Helo\x7flo.\n", "Hello."),
        (b"\x7f\x08Hello.\n", "Hello."),
        (b"one two \x17three\n", "one three"),
        (b"nonsense\x15sense\n", "sense"),
        ("Gr\u00fc\u00dfe \U0001f642\n".encode(), "Gr\u00fc\u00dfe \U0001f642"),
        (b"a\x1b[D\x1b[1;5C\x1bOPb\x1bx\x1b[3~c\n", "abc"),  # cursor keys, F1, Alt-X, Delete
        (b"a\x07\x00\x04\xff\tb\n", "ab"),  # control characters, and what is no UTF-8
    ],
)
def test_lines_are_edited(typed, line):
    editor = LineEditor(space_is_key=True)
    assert editor.feed(typed) == [Line(line)]
    assert editor.text == ""


def test_bytes_may_come_one_by_one():
    editor = LineEditor(space_is_key=False)
    found = [each for byte in "\u00e9\u00e8\n".encode() for each in editor.feed(bytes([byte]))]
    assert found == [Line("\u00e9\u00e8")]


def test_keys_of_an_empty_line():
    talking, typing = LineEditor(space_is_key=True), LineEditor(space_is_key=False)
    assert talking.feed(b" \n") == [TalkKey(), TalkKey()]
    assert typing.feed(b" \n") == [TalkKey()]  # a line of spaces says nothing
    assert talking.feed(b"a b\x04") == []
    assert talking.text == "a b"
    assert typing.feed(b"\x04") == [EndOfInput()]
