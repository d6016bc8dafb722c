"""A jitter buffer, computed instead of played: when a stream of RTP packets runs dry at its listener."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.talk_loudspeaker import Underrun

BUFFER_S = 0.120
"""What a listener buffers, in seconds, beyond the fastest packet: browsers' buffers grow to about the jitter."""
PACKET_S = 0.020
FIRST_PACKETS = 50
"""The fastest of these sets the clock of the playout."""
RESTART_S = 0.5
"""Dry for so long, in seconds, a listener starts again at the next packet."""


@dataclass
class Playout:
    """How a stream was played.

    Attributes:
        underruns: when no sound was left, neither the packet that was due nor a later one.
        concealed: packets that were missing while a later one was there, so that the gap is filled.
        played: packets that were there in time.
    """

    underruns: list[Underrun] = field(default_factory=list[Underrun])
    concealed: int = 0
    played: int = 0


def play_packets(packets: Sequence[tuple[float, float]]) -> Playout:
    """Plays a stream.

    Args:
        packets: position in the stream and time of arrival of each packet that arrived, in seconds.
    """
    result = Playout()
    arrivals: dict[int, float] = {}
    for position_s, at_s in packets:
        arrivals.setdefault(round(position_s / PACKET_S), at_s)
    numbers = sorted(arrivals)
    if not numbers:
        return result
    soonest = dict(arrivals)  # when this packet or a later one arrives
    last = numbers[-1]
    for number in range(last - 1, numbers[0] - 1, -1):
        soonest[number] = min(arrivals.get(number, soonest[number + 1]), soonest[number + 1])
    base_s = min(arrivals[number] - number * PACKET_S for number in numbers[:FIRST_PACKETS]) + BUFFER_S
    number, dry = numbers[0], None  # `dry`: the first packet that was missing when there was no other
    while number <= last:
        due_s = base_s + number * PACKET_S
        if soonest[number] <= due_s:
            if dry is not None:
                result.underruns.append(Underrun(base_s + dry * PACKET_S, (number - dry) * PACKET_S))
                dry = None
            if arrivals.get(number, due_s + 1) <= due_s:
                result.played += 1
            else:
                result.concealed += 1
        elif dry is None:
            dry = number
        elif (number - dry) * PACKET_S > RESTART_S:
            number, dry_since_s = dry, base_s + dry * PACKET_S
            result.underruns.append(Underrun(dry_since_s, soonest[number] - dry_since_s))
            base_s, dry = soonest[number] + BUFFER_S - number * PACKET_S, None
            continue
        number += 1
    if dry is not None:
        result.underruns.append(Underrun(base_s + dry * PACKET_S, (number - dry) * PACKET_S))
    return result
