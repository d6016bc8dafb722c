"""A terminal and a pipe as keyboards."""

from __future__ import annotations

import os
import pty
import sys
import termios
from types import SimpleNamespace

import pytest

from oviya.cli.chatting.keyboard import keyboard
from oviya.cli.chatting.line_editor import EndOfInput, Line, TalkKey
from tests.support.waiting import until


@pytest.fixture
def stdin(monkeypatch):
    def use(descriptor: int) -> None:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(fileno=lambda: descriptor))

    return use


async def test_a_terminal_is_read_key_by_key_and_left_as_it_was(stdin):
    near, far = pty.openpty()
    stdin(far)
    taken, shown, before = [], [], termios.tcgetattr(far)
    with keyboard(taken.append, shown.append, terminal=True, space_is_key=True):
        assert not termios.tcgetattr(far)[3] & termios.ECHO
        assert termios.tcgetattr(far)[3] & termios.ISIG  # Ctrl-C is a signal
        os.write(near, b" Hi")
        await until(lambda: shown and shown[-1] == "Hi")
        os.write(near, b"\r\x04")
        await until(lambda: EndOfInput() in taken)
    assert taken == [TalkKey(), Line("Hi"), EndOfInput()]
    assert termios.tcgetattr(far) == before
    os.close(near)
    os.close(far)


async def test_a_pipe_is_read_to_its_end(stdin):
    far, near = os.pipe()
    stdin(far)
    taken = []
    with keyboard(taken.append, lambda text: None, terminal=False, space_is_key=False):
        os.write(near, b"one\ntw")
        await until(lambda: taken == [Line("one")])
        os.write(near, b"o")
        os.close(near)
        await until(lambda: len(taken) == 3)
    assert taken == [Line("one"), Line("two"), EndOfInput()]
    os.close(far)
