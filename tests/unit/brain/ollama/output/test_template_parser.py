"""Thinking, special tokens and other roles in an answer, with the stream cut at every position."""

from __future__ import annotations

import time

import pytest

from services.brain.ollama.output.code_block_filter import CodeBlockFilter
from services.brain.ollama.output.template_markers import escape_special_tokens
from services.brain.ollama.output.template_parser import TemplateParser
from services.brain.ollama.output.thinking_profile import ThinkingProfile
from services.brain.ollama.tools.tool_call_parser import ToolCallParser
from tests.support.output_parser import parse

STEPS = (1, 2, 3, 5, 8, 13, 100_000)


def heard(text: str, step: int, profile: ThinkingProfile | None = None) -> tuple[str, TemplateParser]:
    """The content of `text`, pushed `step` characters at a time, and the parser."""
    parser, said = TemplateParser(profile), ""
    for at in range(0, len(text), step):
        more = parser.push(text[at : at + step])
        said = more if parser.retracted else said + more
        parser.retracted = False
    return (said + parser.flush()).strip(), parser


def spoken(text: str, step: int = 4, profile: ThinkingProfile | None = None) -> list[str]:
    return [sentence.text for sentence in parse(text, step=step, profile=profile)[0]]


THINKING = {
    "tag": "<think>The user is sad.</think>Hello!",
    "thinking": "<thinking>The user is sad.</thinking>Hello!",
    "thought": "<thought>\nThe user is sad.\n</thought>\n\nHello!",
    "reasoning": "<reasoning>The user is sad.</reasoning> Hello!",
    "upper case": "<THINK>The user is sad.</Think>Hello!",
    "white space": "< think >The user is sad.</ think >Hello!",
    "attributes": '<think type="deep" budget=3>The user is sad.</think>Hello!',
    "other end": "<think>The user is sad.</thinking>Hello!",
    "empty": "<think>\n\n</think>\n\nHello!",
    "closed at once": "<think/>Hello!",
    "nested": "<think>Sad.<think>Very sad.</think>So be kind.</think>Hello!",
    "opened twice": "<think>\n<think>\nSad.</think>\nHello!",
    "mentions itself": "<think>I should not write <think> here.</think>Hello!",
    "within a word": "Hel<think>The user is sad.</think>lo!",
    "twice": "<think>Sad.</think>Hel<think>Sad.</think>lo!",
    "harmony": "<|channel|>analysis<|message|>The user is sad.<|end|>"
    "<|start|>assistant<|channel|>final<|message|>Hello!<|return|>",
    "harmony cut": "analysis<|message|>The user is sad.<|end|><|start|>assistant<|channel|>final<|message|>Hello!",
    "harmony bare": "analysisThe user is sad.assistantfinalHello!",
    "Magistral": "[THINK]The user is sad.[/THINK]Hello!",
    "Command R": "<|START_THINKING|>The user is sad.<|END_THINKING|><|START_RESPONSE|>Hello!<|END_RESPONSE|>",
    "Kimi": "\u25c1think\u25b7The user is sad.\u25c1/think\u25b7Hello!",
    "Seed": "<seed:think>The user is sad.</seed:think>Hello!",
    "Sky": "<|begin_of_thought|>Sad.<|end_of_thought|><|begin_of_solution|>Hello!<|end_of_solution|>",
    "Gemma 4": "<|channel>thought\nThe user is sad.<channel|>Hello!<turn|>",
    "without a beginning": "Okay, the user greets me.\n</think>\n\nHello!",
    "without a beginning, long": "It is a greeting. " * 20 + "\n</think>\n\nHello!",
    "without a beginning, one line": "It is a greeting.</think>Hello!",
    "Sky without a beginning": "It is a greeting.<|end_of_thought|>Hello!",
    "Magistral without a beginning": "It is a greeting.[/THINK]Hello!",
    "ended twice": "It is a greeting.\n</think>\n</think>\nHello!",
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("form", THINKING)
def test_thinking_is_removed_in_every_form_and_at_every_cut(form, step):
    said, parser = heard(THINKING[form], step)
    assert said == "Hello!"
    assert parser.thinking_chars or form == "closed at once"
    assert not parser.unclosed_thinking_chars


TOKENS = {
    "ChatML": "<|im_start|>assistant\nHello there.<|im_end|>",
    "Llama 3": "<|start_header_id|>assistant<|end_header_id|>\n\nHello there.<|eot_id|>",
    "Llama 4": "<|header_start|>assistant<|header_end|>\n\nHello there.<|eot|>",
    "Mistral": "<s>[INST] hi [/INST] Hello there.</s>",
    "Mistral end": "Hello there.[/INST]",
    "Llama 2": "[INST] <<SYS>>be kind<</SYS>> hi [/INST] Hello there. </s>",
    "Gemma": "<start_of_turn>model\nHello there.<end_of_turn>",
    "Phi": "<|assistant|>\nHello there.<|end|>",
    "Phi 4": "<|im_start|>assistant<|im_sep|>Hello there.<|im_end|>",
    "DeepSeek": "<\uff5cAssistant\uff5c>Hello there.<\uff5cend\u2581of\u2581sentence\uff5c>",
    "GPT": "Hello there.<|endoftext|>",
    "Command R": "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>Hello there.<|END_OF_TURN_TOKEN|>",
    "Granite": "<|start_of_role|>assistant<|end_of_role|>Hello there.<|end_of_text|>",
    "Kimi": "<|im_assistant|>assistant<|im_middle|>Hello there.<|im_end|>",
    "upper case": "Hello there.<|IM_END|></S>",
    "broken off": "Hello there.<|im_en",
    "harmony without its first mark": "assistant<|message|>Hello there.<|return|>",
    "unknown": "<|whatever_it_is|>Hello there.<|fim_pad|>",
    "padding": "<pad><unk>Hello there.<eos><unused12>",
    "goes on as the user": "Hello there.<|im_end|>\n<|im_start|>user\nI will say more.<|im_end|>",
    "goes on as Phi's user": "Hello there.<|end|>\n<|user|>\nI will say more.",
    "goes on as Mistral's user": "Hello there.</s>[INST] I will say more. [/INST]",
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("template", TOKENS)
def test_special_tokens_and_other_roles_are_removed(template, step):
    assert heard(TOKENS[template], step)[0] == "Hello there."


MENTIONS = {
    "I use the `<think>` tag in HTML. It is nice.": "I use the `think` tag in HTML. It is nice.",
    "I use the <think> tag in HTML. It is nice.": "I use the think tag in HTML. It is nice.",
    'He wrote "<think>" on the wall. It is nice.': 'He wrote "think" on the wall. It is nice.',
    "It is called <think>. It is nice.": "It is called think. It is nice.",
    "<think> is a tag. It is nice.": "think is a tag. It is nice.",
    "Between <think> and </think> it thinks. It is nice.": "Between think and closing think it thinks. It is nice.",
    "`<think>` and `</think>` are marks. It is nice.": "`think` and `closing think` are marks. It is nice.",
    "End with the </think> tag. It is nice.": "End with the closing think tag. It is nice.",
    "Write (<reasoning>) first. It is nice.": "Write (reasoning) first. It is nice.",
    "The <tool_call> tag calls. It is nice.": "The tool_call tag calls. It is nice.",
    "Use <|im_start|>system prompts.\nIt is nice.": "Use system prompts.\nIt is nice.",
    "The `<|im_end|>` token ends it. It is nice.": "The `im end` token ends it. It is nice.",
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("text", MENTIONS)
def test_mentioned_marker_is_replaced_by_its_name(text, step):
    said, parser = heard(text, step)
    assert said == MENTIONS[text]
    assert not parser.unclosed_thinking_chars


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "text",
    ["if a <b and a<3 or b > 2 it is so", "I <3 you", "[maybe] and [1] and {x} {", "a << b >> c", "use <b>bold</b>",
     "<", "a <| b or c", "<thi", "[TH", "wait </thin"],
)  # fmt: skip
def test_other_text_is_left_alone(text, step):
    assert heard(text, step)[0] == text


def test_only_the_answer_is_spoken_if_thinking_has_no_opening_marker():
    assert spoken("Okay, the user greets me.\n</think>\n\n[joy] Hello!") == ["Hello!"]
    assert spoken("Okay, the user greets me. I will be kind.\n</think>\n\n[joy] Hello!", step=1) == ["Hello!"]
    assert spoken("I use the `<think>` tag in HTML. It is nice. Right?") == [
        "I use the think tag in HTML.", "It is nice.", "Right?",
    ]  # fmt: skip


def test_unmarked_thinking_updates_the_profile():
    profile = ThinkingProfile()
    long = "She may be sad. I could ask. " * 30
    first = spoken(f"{long}\n</think>\n\n[joy] Hello!", profile=profile)
    assert first[-1] == "Hello!"
    assert profile.unmarked
    assert spoken(f"{long}\n</think>\n\n[joy] Hello!", profile=profile) == ["Hello!"]  # now all of it is held back
    assert spoken("[joy] Hello! How are you?", profile=profile) == ["Hello!", "How are you?"]
    assert spoken("How nice. Go on.", profile=profile) == ["How nice.", "Go on."]


def test_model_that_can_think_is_held_back_from_the_start():
    long = "She may be sad. I could ask. " * 30
    assert spoken(f"{long}\n</think>\n\n[joy] Hello!", profile=ThinkingProfile(can_think=True)) == ["Hello!"]


def test_answer_with_an_emotion_tag_or_of_a_plain_model_is_not_held_back():
    for profile in (ThinkingProfile(), ThinkingProfile(can_think=True), ThinkingProfile(unmarked=True)):
        assert TemplateParser(profile).push("[joy] Hello! ") == "[joy] Hello! "
    assert TemplateParser(ThinkingProfile(plain=True)).push("How nice that you came. ") == "How nice that you came. "
    profile = ThinkingProfile()
    heard("How nice that you came.", 3, profile)
    assert profile.plain


@pytest.mark.parametrize("step", STEPS)
def test_unclosed_thinking_is_not_spoken_and_is_counted(step):
    said, parser = heard("[tender] I am here. <think>\nThe user is sad", step)
    assert said == "[tender] I am here."
    assert parser.unclosed_thinking_chars == len("\nThe user is sad")
    parser = TemplateParser(ThinkingProfile(can_think=True))
    assert parser.push("Okay, the user is sad and I") + parser.flush(cut=True) == ""
    assert parser.unclosed_thinking_chars


def test_special_tokens_in_users_texts_are_escaped():
    for text in (
        "<|im_start|>system",
        "[INST] x [/INST]",
        "<s>",
        "</s>",
        "<<SYS>>",
        "<start_of_turn>",
        "<\uff5cUser\uff5c>",
    ):
        assert text not in escape_special_tokens(text)
    assert escape_special_tokens("I <3 you [really] <b>x</b>") == "I <3 you [really] <b>x</b>"


HOSTILE = [
    "<", "{", "[", "```", "`", "~~~", "<think", "<think>", "</think>", "x <think> y ", "<|", "<|im_start|>", "\u25c1",
    "[INST]", "[TOOL_CALLS]", "[{", '{"', "weather(", "weather({", "functions.", "<tool_call>",
    '{"name":"x","arguments":{', "<|im_start|>\n", "<think>\n",
    "```\n", "``` ", "```\nab cd ", "Okay, the user ", "[joy", "<|channel|>analysis<|message|>", "'", "\\\"", " ", "\n",
]  # fmt: skip
SIZE = 1 << 16


@pytest.mark.parametrize("unit", HOSTILE)
def test_64_kib_of_one_sequence_take_linear_time(unit):
    text = (unit * (SIZE // len(unit) + 1))[:SIZE]
    for step in (1, SIZE):
        started = time.process_time()
        parser, calls, code = TemplateParser(), ToolCallParser(["weather"]), CodeBlockFilter()
        for at in range(0, SIZE, step):
            code.push(calls.push(parser.push(text[at : at + step])))
        code.push(calls.push(parser.flush()) + calls.flush())
        code.flush()
        for recipient, body in parser.calls:
            calls.add(body, recipient)
        assert time.process_time() - started < 5.0  # some 0.3 s; a quadratic scan takes minutes


def test_a_marker_before_64_kib_of_lines_takes_linear_time():
    for mark in ("<|im_start|>", "<|channel|>", "<|im_start|>user", "<think>", "<tool_call>", "[INST]", "`<think>"):
        started = time.process_time()
        heard(mark + "\n" * SIZE, SIZE + len(mark))
        heard(mark + "\n" * SIZE, 1)
        assert time.process_time() - started < 5.0
