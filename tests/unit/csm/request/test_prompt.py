"""Prompts: rows in the order of CSM, and text that stays text."""

from __future__ import annotations

import numpy as np
import pytest

from services.csm.checkpoint import load_checkpoint
from services.csm.request.prompt import NO_TEXT, Segment
from tests.support.checkpoints.csm import write_checkpoint
from tests.support.csm_prompt import build_prompt


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = write_checkpoint(tmp_path_factory.mktemp("csm") / "styled", styles=("calm", "joy"))
    return load_checkpoint(folder).tokenizer


def letters(text: str, tokenizer) -> list[int]:
    """Ids of a text's bytes: what stands between the ends of a segment of speaker 0, after its `[0]`."""
    return tokenizer.encode_segment(text, 0)[4:-1]


def test_text_stands_between_bos_and_eos_after_its_speaker(tokenizer):
    ids = tokenizer.encode_segment("Hi.", 12)
    assert ids[0] == tokenizer.bos_id
    assert ids[-1] == tokenizer.eos_id
    assert ids[1:-1] == letters("[12]Hi.", tokenizer)


def test_context_comes_first_and_sound_ends_with_an_end_frame(tokenizer):
    codes = np.arange(1, 17).reshape(2, 8)
    prompt = build_prompt(
        tokenizer, 8, text="Now.", speaker=0, context=[Segment(1, "Then.", codes), Segment(2, "Words only.")]
    )
    first, second = tokenizer.encode_segment("Then.", 1), tokenizer.encode_segment("Words only.", 2)
    expected = [*first, NO_TEXT, NO_TEXT, NO_TEXT, *second, *tokenizer.encode_segment("Now.", 0)]
    assert prompt.text.tolist() == expected
    assert len(prompt) == len(expected)
    frames = prompt.codes[len(first) : len(first) + 3]
    np.testing.assert_array_equal(frames, [*codes, np.zeros(8)])
    assert not prompt.codes[len(first) + 3 :].any()


def test_a_segment_with_no_frames_is_its_text_alone(tokenizer):
    empty = build_prompt(tokenizer, 8, text="A", speaker=0, context=[Segment(1, "B", np.empty((0, 8), np.int64))])
    without = build_prompt(tokenizer, 8, text="A", speaker=0, context=[Segment(1, "B")])
    np.testing.assert_array_equal(empty.text, without.text)
    assert (empty.text != NO_TEXT).all()


def test_what_looks_like_a_special_token_is_text(tokenizer):
    """Nobody may end the segment, or fake a speaker's frames, with words."""
    for token in ("<|end_of_text|>", "<|AUDIO|>", "<|calm|>"):
        ids = tokenizer.encode_segment(token, 0)
        assert len(ids) == 1 + len("[0]") + len(token) + 1
        assert tokenizer.eos_id not in ids[:-1]


def test_a_style_is_one_token_between_speaker_and_text(tokenizer):
    plain, calm, joy = (tokenizer.encode_segment("Hi.", 3, style) for style in ("", "calm", "joy"))
    speaker = 1 + len("[3]")
    assert calm[:speaker] == joy[:speaker] == plain[:speaker]
    assert calm[speaker + 1 :] == joy[speaker + 1 :] == plain[speaker:]
    assert calm[speaker] != joy[speaker]
