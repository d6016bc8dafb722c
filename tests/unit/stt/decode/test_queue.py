"""The queue in front of the recognizer: order, batches, waits, failures."""

from __future__ import annotations

import threading
import time
import weakref
from concurrent.futures import CancelledError
from contextlib import contextmanager

import numpy as np
import pytest

from oviya.errors import Busy, Unavailable
from services.stt.decode.queue import DecodeQueue
from services.stt.recognizer import Request
from tests.support.stt_recognizers import GatedRecognizer
from tests.support.waiting import PATIENCE_S

SOUND = np.zeros(1600, np.float32)


@contextmanager
def running(recognizer, wait_s=PATIENCE_S):
    queue = DecodeQueue(recognizer, wait_s)
    queue.start()
    try:
        yield queue
    finally:
        recognizer.gate.set()
        queue.close()


def submit(queue, name, *, final=True):
    return queue.submit(lambda: Request(SOUND, 0.1, (name,), final=final), final=final)


def occupy(queue, recognizer):
    """Starts a decode that waits at the gate; returns its result."""
    result = submit(queue, "first", final=False)
    assert recognizer.entered.wait(PATIENCE_S)
    return result


def heard(result):
    return [word.text for word in result.result(PATIENCE_S).words]


def test_final_decodes_precede_drafts_and_those_of_a_kind_keep_their_order():
    recognizer = GatedRecognizer()
    with running(recognizer) as queue:
        results = [occupy(queue, recognizer)]
        for name, final in (("a", False), ("b", True), ("c", False), ("d", True)):
            results.append(submit(queue, name, final=final))
        recognizer.gate.set()
        assert [heard(result) for result in results] == [["first"], ["a"], ["b"], ["c"], ["d"]]
    assert recognizer.batches == [["first"], ["b"], ["d"], ["a"], ["c"]]


def test_what_waits_is_decoded_in_batches_of_one_kind():
    recognizer = GatedRecognizer(max_batch=3)
    with running(recognizer) as queue:
        results = [occupy(queue, recognizer)]
        for name, final in (("a", True), ("b", True), ("x", False), ("c", True), ("d", True), ("y", False)):
            results.append(submit(queue, name, final=final))
        recognizer.gate.set()
        assert [heard(result) for result in results] == [["first"], ["a"], ["b"], ["x"], ["c"], ["d"], ["y"]]
    assert recognizer.batches == [["first"], ["a", "b", "c"], ["d"], ["x", "y"]]


def test_a_cancelled_decode_is_removed():
    recognizer = GatedRecognizer()
    with running(recognizer) as queue:
        occupy(queue, recognizer)
        cancelled, other = submit(queue, "a"), submit(queue, "b")
        assert cancelled.cancel()
        recognizer.gate.set()
        assert heard(other) == ["b"]
    assert recognizer.batches == [["first"], ["b"]]


def test_cancelled_drafts_let_go_of_their_sound_while_finals_keep_the_thread_busy():
    recognizer = GatedRecognizer()
    with running(recognizer) as queue:
        occupy(queue, recognizer)
        submit(queue, "final")
        kept = []
        for _ in range(3):
            sound = np.zeros(1600, np.float32)
            kept.append(weakref.ref(sound))
            queue.submit(lambda sound=sound: Request(sound, 0.1), final=False).cancel()
            del sound
        waiting = submit(queue, "draft", final=False)
        assert [reference() for reference in kept] == [None] * 3
        recognizer.gate.set()
        assert heard(waiting) == ["draft"]


def test_a_request_is_made_when_its_decode_starts():
    recognizer = GatedRecognizer()
    name = "old"
    with running(recognizer) as queue:
        occupy(queue, recognizer)
        result = queue.submit(lambda: Request(SOUND, 0.1, (name,), final=False), final=False)
        name = "new"
        recognizer.gate.set()
        assert heard(result) == ["new"]


def test_a_final_decode_that_waits_too_long_is_refused_and_a_draft_is_not():
    recognizer = GatedRecognizer()
    with running(recognizer, wait_s=0.01) as queue:
        first = occupy(queue, recognizer)
        late, draft = submit(queue, "late"), submit(queue, "draft", final=False)
        time.sleep(0.02)
        recognizer.gate.set()
        with pytest.raises(Busy, match=r"0\.01 s") as refusal:
            late.result(PATIENCE_S)
        assert refusal.value.retry_after_s
        assert heard(first) == ["first"]
        assert heard(draft) == ["draft"]
    assert recognizer.batches == [["first"], ["draft"]]


@pytest.mark.parametrize("failure", [Unavailable("stt", "out of memory"), ValueError("a bug")])
def test_a_decode_that_fails_fails_alone(failure):
    recognizer = GatedRecognizer(max_batch=3, failures={"bad": failure})
    with running(recognizer) as queue:
        occupy(queue, recognizer)
        before, bad, after = (submit(queue, name) for name in ("before", "bad", "after"))
        recognizer.gate.set()
        assert heard(before) == ["before"]
        assert heard(after) == ["after"]
        assert bad.exception(PATIENCE_S) is failure
        assert heard(submit(queue, "later")) == ["later"]
    assert recognizer.batches[1:5] == [["before", "bad", "after"], ["before"], ["bad"], ["after"]]


def test_closing_cancels_what_waits_and_ends_the_thread_after_its_decode():
    recognizer = GatedRecognizer()
    queue = DecodeQueue(recognizer, PATIENCE_S)
    queue.start()
    running = occupy(queue, recognizer)
    waiting = [submit(queue, "a"), submit(queue, "b", final=False)]
    closing = threading.Thread(target=queue.close)
    closing.start()
    for result in waiting:
        with pytest.raises(CancelledError):
            result.result(PATIENCE_S)
    assert closing.is_alive()  # it waits for the running decode
    recognizer.gate.set()
    closing.join(PATIENCE_S)
    assert not closing.is_alive()
    assert heard(running) == ["first"]
    assert submit(queue, "too late").cancelled()
    assert recognizer.batches == [["first"]]
