"""Pieces of a quiet microphone are joined; nothing is lost, and sound is passed on at once."""

from __future__ import annotations

import numpy as np
import pytest

from services.gateway.conversation.quiet_joiner import PIECE_S, QUIET_AFTER_S, QUIET_RMS, QuietJoiner

RATE_HZ = 16_000
COUNT = 320


def piece(level, count=COUNT):
    return np.full(count, level, np.float32)


def quiet_joiner():
    """One that has heard long quiet and holds nothing."""
    joiner = QuietJoiner(RATE_HZ)
    for _ in range(round(QUIET_AFTER_S * RATE_HZ / COUNT)):
        assert len(joiner.push(piece(0.0))) == COUNT  # a turn may be ending
    return joiner


def test_after_long_quiet_pieces_are_joined():
    joiner = quiet_joiner()
    given = [joiner.push(piece(QUIET_RMS / 2)) for _ in range(20)]
    lengths = [len(one) for one in given if one is not None]
    assert lengths == [round(PIECE_S * RATE_HZ)] * 4


def test_sound_is_passed_on_at_once_with_what_was_held():
    joiner = quiet_joiner()
    assert joiner.push(piece(0.001)) is None
    assert joiner.push(piece(0.002)) is None
    assert joiner.push(piece(0.5)) == pytest.approx(np.repeat([0.001, 0.002, 0.5], COUNT))
    assert len(joiner.push(piece(0.0))) == COUNT  # and what follows, too


def test_long_pieces_are_not_held():
    assert len(quiet_joiner().push(piece(0.0, round(PIECE_S * RATE_HZ / 2)))) == PIECE_S * RATE_HZ / 2


def test_what_is_held_can_be_taken_once():
    joiner = quiet_joiner()
    joiner.push(piece(0.001))
    assert len(joiner.take()) == COUNT
    assert len(joiner.take()) == 0


def test_empty_pieces_are_nothing():
    assert QuietJoiner(RATE_HZ).push(piece(0.0, 0)) is None
