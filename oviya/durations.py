"""`google.protobuf.Duration` and seconds as a float."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration


def seconds(duration: Duration) -> float:
    """Returns the duration in seconds."""
    return duration.seconds + duration.nanos / 1e9


def duration(seconds: float) -> Duration:
    """Returns seconds as a Duration, rounded to the nearest nanosecond.

    Raises:
        ValueError, OverflowError: the value is not a finite number.
    """
    message = Duration()
    message.FromNanoseconds(round(seconds * 1e9))
    return message
