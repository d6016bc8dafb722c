"""Removes control tokens of language models: `<|im_end|>`, `[INST]`, `</s>`."""

from __future__ import annotations

import re

_ROLE = r"(?:system|user|assistant|model|tool|developer|ipython|human|bot)"
_PATTERNS = (
    # a header, with the role or the channel that it names
    re.compile(r"<\|start_header_id\|>\s*+\w*+\s*+<\|end_header_id\|>", re.IGNORECASE),
    re.compile(rf"<\|(?:im_start|start|role)\|>\s*+(?:{_ROLE}\b)?", re.IGNORECASE),
    re.compile(rf"<start_of_turn>\s*+(?:{_ROLE}\b)?", re.IGNORECASE),
    re.compile(r"<\|channel\|>\s*+\w*+(?:\s*+<\|(?:message|constrain)\|>)?", re.IGNORECASE),
    re.compile(r"<[|\uff5c][^|\uff5c<>\n]{0,80}[|\uff5c]>"),
    re.compile(r"<</?SYS>>|\[/?INST\]", re.IGNORECASE),
    re.compile(
        r"\[/?(?:TOOL_CALLS|AVAILABLE_TOOLS|TOOL_RESULTS|SYSTEM_PROMPT|gMASK|[BE]O[SPT]|PAD|UNK|SEP|CLS|MASK)\]"
    ),
    re.compile(
        r"</?(?:s|bos|eos|pad|unk|mask|sep|cls|sop|eop|eot|eom|eod|end_of_turn|end_of_text|end_of_utterance|endoftext"
        r"|start_of_image|tool_call|tool_response|unused\d{1,4}|extra_id_\d{1,4}|0x[0-9A-Fa-f]{2}|reserved_\d{1,4})>",
        re.IGNORECASE,
    ),
)


def without_control_tokens(text: str) -> str:
    """Removes the control tokens of common chat templates."""
    if "<" not in text and "[" not in text:
        return text
    for pattern in _PATTERNS:
        text = pattern.sub(" ", text)
    return text
