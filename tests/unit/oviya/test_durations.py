"""`google.protobuf.Duration` and seconds."""

from __future__ import annotations

import math

import pytest
from google.protobuf.duration_pb2 import Duration

from oviya.durations import duration, seconds


@pytest.mark.parametrize("length_s", [0.0, 0.08, 1.5, 59.999999999, 86_400.25, -2.75])
def test_seconds_survive_the_way_to_a_duration_and_back(length_s: float):
    assert seconds(duration(length_s)) == pytest.approx(length_s, abs=1e-9)


def test_the_parts_of_a_negative_duration_have_one_sign():
    assert duration(-1.25) == Duration(seconds=-1, nanos=-250_000_000)


@pytest.mark.parametrize("length_s", [math.inf, -math.inf, math.nan])
def test_what_no_duration_can_hold_is_refused(length_s: float):
    with pytest.raises((ValueError, OverflowError)):
        duration(length_s)
