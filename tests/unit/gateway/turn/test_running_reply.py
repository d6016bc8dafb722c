"""Playback reports on the running reply."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from oviya.errors import InvalidInput
from services.gateway.turn.running_reply import RunningReply

MADE_S = 9.9179166666
"""Length of a reply; as a Duration it is 9.917916667 s, which is more."""


def test_a_position_may_be_rounded_up_and_not_beyond_the_sound():
    reports: list[float] = []
    speech = SimpleNamespace(sender=SimpleNamespace(made_s=MADE_S, report=reports.append))
    reply = RunningReply()
    with reply.of_turn(3):
        reply.speech = cast("Any", speech)
        reply.report_played(3, 9.917916667)
        with pytest.raises(InvalidInput, match="that were sent"):
            reply.report_played(3, MADE_S + 0.1)
    assert reports == [9.917916667]
