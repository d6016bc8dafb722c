"""The id of a turn in contexts and in metadata."""

from __future__ import annotations

import asyncio

import pytest
import structlog
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.openmetrics.exposition import generate_latest

from oviya.mesh.turn_id import METADATA_KEY, current, exemplar, received, turn_scope

TURN, OTHER = "0123456789ab", "ba9876543210"


def bound():
    return structlog.contextvars.get_contextvars().get("turn_id")


def test_a_scope_ends_even_when_it_fails():
    assert (current(), bound(), exemplar()) == ("", None, None)
    with turn_scope(TURN):
        assert (current(), bound(), exemplar()) == (TURN, TURN, {"turn_id": TURN})
        with pytest.raises(KeyError, match=OTHER), turn_scope(OTHER):
            raise KeyError(current(), bound())
        assert (current(), bound()) == (TURN, TURN)
    assert (current(), bound()) == ("", None)


async def test_tasks_belong_to_the_turn_in_which_they_were_created():
    async def read():
        await asyncio.sleep(0)
        return current(), await asyncio.to_thread(bound)

    outside = asyncio.ensure_future(read())
    with turn_scope(TURN):
        inside = asyncio.ensure_future(read())
    assert await inside == (TURN, TURN)
    assert await outside == ("", None)


@pytest.mark.parametrize(
    "turn_id", ["", "0123456789a", "0123456789abc", "0123456789AB", "0123456789a\n", "what I said!"]
)
def test_other_ids_are_refused(turn_id):
    with pytest.raises(ValueError, match="12 hexadecimal digits") as caught, turn_scope(turn_id):
        pass
    assert not turn_id or turn_id not in str(caught.value)
    assert received([(METADATA_KEY, turn_id)]) == ""


def test_metadata_that_is_not_one_id_is_ignored():
    assert received([("user-agent", "test"), (METADATA_KEY, TURN)]) == TURN
    assert received([(METADATA_KEY, TURN), (METADATA_KEY, OTHER)]) == ""
    assert received([(METADATA_KEY, TURN.encode())]) == ""
    assert received(()) == received(None) == ""


def test_an_exemplar_is_exposed():
    registry = CollectorRegistry()
    histogram = Histogram("stage_seconds", "Seconds", registry=registry)
    histogram.observe(0.2, exemplar=exemplar())
    assert b"turn_id" not in generate_latest(registry)
    with turn_scope(TURN):
        histogram.observe(0.2, exemplar=exemplar())
    assert f'turn_id="{TURN}"'.encode() in generate_latest(registry)
