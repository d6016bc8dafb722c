"""What the tape keeps of a turn's sound."""

from __future__ import annotations

import pytest

from services.gateway.tape import Tape

RATE_HZ = 1000


@pytest.fixture
def tape() -> Tape:
    tape = Tape(2, RATE_HZ, limit_s=10.0)
    for number in range(10):  # 10 pieces of 0.2 s
        tape.add_sound(bytes([number, 0]) * 200, arrived=float(number))
        tape.next_unsent()
    return tape


def test_the_sound_between_two_positions_is_found(tape):
    found = tape.between(0.3, 0.9)
    assert found == bytes([1, 0]) * 100 + bytes([2, 0]) * 200 + bytes([3, 0]) * 200 + bytes([4, 0]) * 100
    assert tape.between(0.0, 2.0) == b"".join(bytes([number, 0]) * 200 for number in range(10))


def test_what_is_gone_or_never_came_is_left_out(tape):
    tape.forget_sent(0.4)
    tape.add_mark()
    assert tape.between(0.0, 0.5) == bytes([2, 0]) * 100
    assert tape.between(1.9, 9.0) == bytes([9, 0]) * 100
    assert tape.between(0.5, 0.5) == b""
    assert tape.between(0.9, 0.3) == b""
