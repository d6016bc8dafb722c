"""Prompts as the tests use them."""

from __future__ import annotations

from collections.abc import Sequence

from services.csm.request.prompt import Prompt, Segment, join_prompts, segment_prompt, text_prompt
from services.csm.request.tokenizer import TextTokenizer


def build_prompt(
    tokenizer: TextTokenizer,
    codebooks: int,
    *,
    text: str,
    speaker: int,
    style: str = "",
    context: Sequence[Segment] = (),
) -> Prompt:
    """The prompt of a text in `style` after its context, oldest first."""
    before = [segment_prompt(tokenizer, codebooks, segment) for segment in context]
    return join_prompts((*before, text_prompt(tokenizer, codebooks, text, speaker, style)))
