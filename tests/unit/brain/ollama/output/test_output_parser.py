"""Parsing a model's tokens into sentences: emotion tags, thinking, code."""

from __future__ import annotations

import pytest

from services.brain.backend import Exchange, Sentence, Tone
from services.brain.emotions import EMOTIONS, default_emotion
from services.brain.ollama.output.code_block_filter import CodeBlockFilter
from services.brain.ollama.output.emotion_tags import ALIASES, TaggedText, read_emotion_tags
from services.brain.ollama.output.output_parser import OutputParser
from services.brain.ollama.output.template_parser import TemplateParser
from services.brain.ollama.prompt import Prompt
from tests.support.metrics import metric
from tests.support.output_parser import parse


def speak(text: str, user_emotion: str = "", step: int = 5, **limits) -> list[Sentence]:
    """The sentences of `text`, pushed `step` characters at a time."""
    return parse(text, user_emotion, step, **{"first_clause_chars": 0, **limits})[0]


def counted(kind: str) -> float:
    return metric("brain_emotion_tags_total", kind=kind)


@pytest.mark.parametrize(
    ("written", "emotion", "kind"),
    [
        ("[curious] What then?", "curious", "given"),
        ("[Calm Supportive] What then?", "calm_supportive", "given"),
        ("[calm-supportive]: What then?", "calm_supportive", "given"),
        ("**[curious]** What then?", "curious", "given"),
        ("[emotion: curious] What then?", "curious", "given"),
        ("[curious, 0.8] What then?", "curious", "given"),
        ("(curious) What then?", "curious", "given"),
        ("*curious* What then?", "curious", "given"),
        ("<curious> What then?", "curious", "given"),
        ("{curious} What then?", "curious", "given"),
        ("curious: What then?", "curious", "given"),
        ("Emotion: curious. What then?", "curious", "given"),
        ("calm_supportive What then?", "calm_supportive", "given"),
        ("[curious What then?", "curious", "given"),
        ("[joy] What then?", "joyful_excited", "alias"),
        ("[warm and caring] What then?", "affectionate", "alias"),
        ("[curiuos] What then?", "curious", "misspelled"),
        ("[emphatetic_sad] What then?", "empathetic_sad", "misspelled"),
        ("[zxqv] What then?", "", "unknown"),
        ("[laughs] What then?", "", "unknown"),
        ("What then?", "", "missing"),
    ],
)
def test_emotion_is_read_in_whatever_form_it_comes(written, emotion, kind):
    assert list(read_emotion_tags(written)) == [TaggedText("What then?", emotion, kind)]


@pytest.mark.parametrize("text", ["*really* good", "*Sorry* about that, Anna.", "**Happy birthday** to you!",
                                  "*sad* but true", "Surprise: it works!", "(happy) people", "Joy! It works.",
                                  "[Happy](https://example.com) and you know it", "Tone: Keep it light.",
                                  "I sent a [happy birthday card] to her", "(as I said) yes", "content is king",
                                  "Well [1] then",
                                  "Tender moments: I like them.", "He wrote: I am sad."])  # fmt: skip
def test_words_of_the_sentence_are_not_emotion_tags(text):
    assert list(read_emotion_tags(text)) == [TaggedText(text, "", "missing")]


def test_aliases_lead_to_the_49():
    assert set(ALIASES.values()) <= EMOTIONS
    assert not set(ALIASES) & EMOTIONS


def test_emotion_within_a_sentence_begins_another():
    assert [(s.text, s.emotion) for s in speak("[joy] Great to hear [curious] and what then?")] == [
        ("Great to hear", "joyful_excited"), ("and what then?", "curious"),
    ]  # fmt: skip


def test_emotion_alone_is_for_the_sentence_after_it():
    assert speak("[tender]\nI am here.") == [Sentence("I am here.", "tender")]


def test_missing_emotion_repeats_the_previous_one_and_is_counted():
    before = counted("missing")
    assert [s.emotion for s in speak("[tender] I am here. I stay. [curious] What happened?")] == [
        "tender", "tender", "curious",
    ]  # fmt: skip
    assert counted("missing") == before + 1


def test_a_requested_tone_overrides_the_policy_and_is_in_the_prompt():
    tone = Tone(mirror="thoughtful", support="reassuring", ask="concerned_anxious", intensity=0.7)

    def first(text: str) -> str:
        return speak(text, "melancholic", tone=tone)[0].emotion

    assert (first("I am with you."), first("What happened?")) == ("reassuring", "concerned_anxious")
    assert first("[tender] I am with you.") == "tender"
    exchange = Exchange("I lost it.", user_emotion="empathetic_sad", tone=tone)
    asked = str(Prompt("", with_tools=False).messages(exchange)[-1]["content"])
    assert "empathetic sad" in asked
    assert "reassuring" in asked
    assert asked.endswith("I lost it.")


def test_first_emotion_answers_the_feeling_if_there_is_no_tag():
    unknown = counted("unknown")
    assert [s.emotion for s in speak("I am with you.", "melancholic")] == [default_emotion("", "melancholic")]
    asked = speak("[zzzz] What happened?", "melancholic")
    assert [s.emotion for s in asked] == [default_emotion("?", "melancholic")]
    assert counted("unknown") == unknown + 1
    for emotion in EMOTIONS:
        assert {default_emotion("Yes.", emotion), default_emotion("Yes?", emotion)} <= EMOTIONS


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_thinking_is_never_spoken(step):
    text = "<think>She is sad.\nI must be kind. </think>[tender] I am here. <thinking>now what</thinking>Tell me more."
    assert [s.text for s in speak(text, step=step)] == ["I am here.", "Tell me more."]
    assert speak("<think>and it never ends. Never.", step=step) == []
    assert [s.text for s in speak("If a <b then a<3 is true.", step=step)]


def test_text_that_looked_like_a_marker_is_kept():
    thinking = TemplateParser()
    assert thinking.push("a <thi") + thinking.push("s> b <") + thinking.flush() == "a <this> b <"


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_code_is_announced_and_not_spoken(step):
    text = "Try this:\n```python\nprint('hi')\nx = 1\n```\nDoes it help?"
    assert [s.text for s in speak(text, step=step)] == [
        "Try this:", "There is some python code here, which I will not read out.", "Does it help?",
    ]  # fmt: skip
    assert [s.text for s in speak("```\nI am so glad.\nAre you?\n```", step=step)] == ["I am so glad.", "Are you?"]
    assert len(speak("```js\n" + "let x = {a: 1}; " * 5000, step=step * 50)) == 1


def test_code_blocks_leave_other_text_alone():
    blocks = CodeBlockFilter()
    assert blocks.push("use `x`") + blocks.push(" here\n\n and there") + blocks.flush() == "use `x` here\n\n and there"


def test_only_emoji_is_said_by_name():
    assert [(s.text, s.spoken) for s in speak("\U0001f600\U0001f389")] == [
        ("\U0001f600\U0001f389", "grinning face, party popper")
    ]
    assert [(s.spoken, s.emotion) for s in speak("[joy] \u2764\ufe0f")] == [("red heart", "joyful_excited")]
    assert [s.spoken for s in speak("[joy] Well done! \U0001f389")] == ["Well done!"]


def test_a_sentence_is_kept_as_the_model_wrote_it_and_as_it_is_said():
    assert [(s.text, s.spoken) for s in speak("[joy] It is **\u20ac9.99** at example.com.")] == [
        ("It is \u20ac9.99 at example.com.", "It is nine euros and ninety-nine cents at example dot com.")
    ]


def test_first_clause_is_returned_early_and_the_rest_has_its_emotion():
    said = speak("[tender] I am so sorry that you had to go through that, my friend, all alone.", first_clause_chars=40)
    assert [(s.text, s.emotion) for s in said] == [
        ("I am so sorry that you had to go through that,", "tender"), ("my friend, all alone.", "tender"),
    ]  # fmt: skip


def test_several_answers_in_one_reply():
    parser = OutputParser("", max_chars=240, first_clause_chars=0)
    first = [*parser.push("[thoughtful] Let me see"), *parser.flush()]
    said = [*first, *parser.push("It is sunny. "), *parser.flush()]
    assert [s.text for sentences in said for s in sentences] == ["Let me see", "It is sunny."]
