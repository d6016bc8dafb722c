"""What a prompt keeps of its context, and how a long text is cut."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from oviya.errors import InvalidInput
from services.csm.checkpoint import load_checkpoint
from services.csm.request.limits import Limits, expected_frames, runaway_frames
from services.csm.request.pieces import PiecePlanner, trim_context
from services.csm.request.prompt import Prompt, Segment
from services.csm.request.request import FinishReason, GenerateRequest
from services.csm.request.split_text import split_text
from tests.support.checkpoints.csm import write_checkpoint
from tests.support.csm_prompt import build_prompt


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return load_checkpoint(write_checkpoint(tmp_path_factory.mktemp("csm") / "small", max_position_embeddings=512))


def part(positions: int) -> Prompt:
    return Prompt(np.zeros(positions, np.int64), np.zeros((positions, 2), np.int64))


def test_the_newest_turns_that_fit_are_kept():
    clip, turns = part(10), [part(5), part(30), part(20), part(10)]
    trim = partial(trim_context, budget=200)
    assert trim([clip], turns, room=200, most=5) == ([clip, *turns], 0)
    assert trim([clip], turns, room=200, most=2) == ([clip, *turns[2:]], 2)
    assert trim([clip], turns, room=40, most=5) == ([clip, *turns[2:]], 2)
    # The oldest turn would fit, but what is kept must be without gaps.
    assert trim([clip], turns, room=46, most=5) == ([clip, *turns[2:]], 2)
    assert trim([clip], turns, room=9, most=5) == ([clip], 4)
    assert trim([clip], turns, room=200, most=0) == ([clip], 4)
    assert trim([], [], room=0, most=5) == ([], 0)


def test_turns_beyond_the_budget_are_dropped_to_half_of_it():
    clip, turns = part(10), [part(20) for _ in range(12)]
    dropped = [trim_context([clip], turns[:count], room=500, budget=100, most=64)[1] for count in range(13)]
    # From one turn to the next the context seldom begins with another turn.
    assert dropped == [0, 0, 0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8]


def test_the_newest_turn_is_kept_even_if_it_is_longer_than_the_budget():
    turns = [part(20), part(150), part(20)]
    assert trim_context([], turns[:2], room=500, budget=100, most=64) == (turns[1:2], 1)
    assert trim_context([], turns, room=500, budget=100, most=64) == (turns[2:], 2)


def plan(checkpoint, text: str, context: tuple[Segment, ...] = (), **changes) -> PiecePlanner:
    limits = changes.pop("limits", Limits())
    request = GenerateRequest(text, context=context, **changes)
    return PiecePlanner(request, checkpoint.tokenizer, checkpoint.config, limits)


def segment(text: str, frames: int, *, reference: bool = False) -> Segment:
    return Segment(0, text, np.full((frames, 8), len(text)), reference)


NOW = "Now this is a sentence that takes some time to say."


def test_a_prompt_holds_the_clip_and_the_turns_that_leave_room_for_the_answer(checkpoint):
    clip, turns = segment("Clip.", 60, reference=True), tuple(segment(f"Turn {i}.", 90) for i in range(3))
    planner = plan(checkpoint, NOW, (clip, *turns))
    piece = planner.next_piece()
    assert piece is not None
    assert planner.dropped_segments == 1
    expected = build_prompt(checkpoint.tokenizer, 8, text=NOW, speaker=0, context=(clip, *turns[1:]))
    np.testing.assert_array_equal(piece.prompt.text, expected.text)
    np.testing.assert_array_equal(piece.prompt.codes, expected.codes)
    assert len(piece.prompt) + piece.max_frames - 1 <= 512
    assert piece.max_frames >= expected_frames(NOW) * 1.5
    assert planner.next_piece() is None


def test_a_longer_answer_drops_more_turns(checkpoint):
    turns = tuple(segment(f"Turn {i}.", 90) for i in range(3))
    dropped = []
    for words in (1, 12, 25):
        planner = plan(checkpoint, "word " * words, turns)
        assert planner.next_piece() is not None
        dropped.append(planner.dropped_segments)
    assert dropped == sorted(dropped)
    assert dropped[0] < dropped[-1]


def test_a_setting_limits_the_turns_that_are_kept(checkpoint):
    turns = tuple(segment(f"Turn {i}.", 3) for i in range(7))
    for limits, dropped in ((Limits(), 0), (Limits(context_turns=1), 6), (Limits(context_turns=5), 2)):
        planner = plan(checkpoint, "Now.", turns, limits=limits)
        planner.next_piece()
        assert planner.dropped_segments == dropped


def test_the_limit_distinguishes_a_runaway_from_a_short_answer(checkpoint):
    for max_frames, limit_reason in ((0, FinishReason.RUNAWAY), (5, FinishReason.LENGTH)):
        piece = plan(checkpoint, "Hello.", max_frames=max_frames).next_piece()
        assert piece is not None
        assert piece.limit_reason is limit_reason
        assert piece.max_frames == (max_frames or runaway_frames("Hello."))


def test_each_piece_of_a_long_text_has_the_one_before_as_context(checkpoint):
    text = "This is one sentence of it. " * 12
    clip, turn = segment("Clip.", 60, reference=True), segment("Old turn.", 40)
    planner = plan(checkpoint, text, (clip, turn))
    said, before = [], None
    while (piece := planner.next_piece()) is not None:
        assert len(piece.prompt) + piece.max_frames - 1 <= 512
        assert piece.max_frames >= expected_frames(piece.text)
        if before is not None:
            heard = Segment(0, before.text, np.full((20, 8), 7))
            ends = build_prompt(checkpoint.tokenizer, 8, text=piece.text, speaker=0, context=(heard,))
            np.testing.assert_array_equal(piece.prompt.text[-len(ends) :], ends.text)
            np.testing.assert_array_equal(piece.prompt.codes[-len(ends) :], ends.codes)
        assert (piece.prompt.codes[:80] == len("Clip.")).any(), "the clip is in every piece"
        said.append(piece.text)
        planner.record(piece, np.full((20, 8), 7), 20)
        before = piece
    assert planner.pieces == len(said) > 2
    assert planner.is_long
    assert " ".join(said) == text.strip()
    assert all(piece.endswith(".") for piece in said), "it is cut behind sentences"


def test_a_runaway_piece_is_not_context_of_the_next(checkpoint):
    planner = plan(checkpoint, "This is one sentence of it. " * 12)
    piece = planner.next_piece()
    assert piece is not None
    planner.record(piece, np.full((40, 8), 9), 0)
    following = planner.next_piece()
    assert following is not None
    assert not following.prompt.codes.any()


def test_the_request_s_limit_counts_all_pieces(checkpoint):
    planner = plan(checkpoint, "This is one sentence of it. " * 12, max_frames=200)
    frames = []
    while (piece := planner.next_piece()) is not None:
        spoken = min(piece.max_frames, 60)
        frames.append(piece.max_frames)
        planner.record(piece, np.zeros((spoken, 8), np.int64), spoken)
    assert len(frames) == 4
    assert frames[-1] == 20


def test_a_slow_answer_never_loses_its_last_words(checkpoint):
    """Just below the length at which it is cut in pieces, an answer 1.5 times slower than expected still fits."""
    whole = 0
    for words in range(1, 60):
        text = "word " * words
        planner = plan(checkpoint, text)
        piece = planner.next_piece()
        assert piece is not None
        assert piece.max_frames >= 1.5 * expected_frames(piece.text)
        whole += not planner.is_long
    assert 20 < whole < 59


def test_where_clips_leave_no_room_for_pieces_an_ordinary_pace_is_enough(checkpoint):
    planner = plan(checkpoint, "Go on now.", (segment("Clip.", 465, reference=True),))
    piece = planner.next_piece()
    assert piece is not None
    assert expected_frames("Go on now.") <= piece.max_frames < 1.5 * expected_frames("Go on now.") + 25
    assert (piece.limit_reason, planner.is_long) == (FinishReason.LENGTH, False)


def test_clips_that_leave_no_room_are_refused(checkpoint):
    with pytest.raises(InvalidInput) as refusal:
        plan(checkpoint, "Hello there. " * 20, (segment("Clip.", 480, reference=True),))
    assert refusal.value.field == "context"


@pytest.mark.parametrize(
    ("text", "most", "pieces"),
    [
        ("All fits.", 100, ["All fits."]),
        ("One two. Three four! Five?", 12, ["One two.", "Three four!", "Five?"]),
        ("One two. Three four! Five?", 20, ["One two.", "Three four! Five?"]),
        ("First clause, second clause; third.", 18, ["First clause,", "second clause;", "third."]),
        ("It is 3.14 or so.", 12, ["It is 3.14", "or so."]),
        ('He said "Stop." Then he left.', 16, ['He said "Stop."', "Then he left."]),
        ("一つ\u3002二つ\uff01三つ\uff1f", 3, ["一つ\u3002", "二つ\uff01", "三つ\uff1f"]),
        ("abcdefgh", 3, ["ab", "cd", "ef", "gh"]),
        ("Well. ... !!! Yes.", 6, ["Well.", "Yes."]),
    ],
)
def test_texts_are_cut_at_the_coarsest_ends_that_fit(text, most, pieces):
    assert split_text(text, len, most) == pieces


def test_nothing_is_lost_or_too_long_however_a_text_is_cut():
    rng = np.random.default_rng(0)
    letters = list("abc  ., !?\n;é日。")
    for _ in range(300):
        text = "".join(rng.choice(letters, int(rng.integers(1, 120))))
        most = int(rng.integers(2, 40))
        pieces = split_text(text, len, most)
        assert all(len(piece) <= most and any(map(str.isalnum, piece)) for piece in pieces)
        spoken = [letter for letter in text if letter.isalnum()]
        assert [letter for piece in pieces for letter in piece if letter.isalnum()] == spoken
