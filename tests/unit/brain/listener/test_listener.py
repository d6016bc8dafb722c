"""Conversations with the listener."""

from __future__ import annotations

import re

import pytest

from services.brain.backend import Exchange, Sentence, Turn
from services.brain.emotions import EMOTIONS
from services.brain.listener import Listener
from services.brain.listener.reply import MAX_SENTENCES, ReplyBuilder
from services.brain.listener.utterance import sentence_key

MAX_HISTORY_TURNS = 400


@pytest.fixture(scope="module")
def listener() -> Listener:
    return Listener()


class Talk:
    """A session, as the gateway keeps it."""

    def __init__(self, listener: Listener, session_id: str = "") -> None:
        self._listener = listener
        self._session_id = session_id
        self.history: list[Turn] = []

    def say(self, text: str, user_emotion: str = "") -> list[Sentence]:
        exchange = Exchange(text, tuple(self.history[-MAX_HISTORY_TURNS:]), user_emotion, self._session_id)
        reply = self._listener.answer(exchange)
        self.history += [Turn("user", text), Turn("assistant", text_of(reply))]
        return reply


def text_of(reply: list[Sentence]) -> str:
    return " ".join(sentence.text for sentence in reply)


def answers(listener: Listener, text: str, sessions: int = 12) -> list[list[Sentence]]:
    """Replies to a first utterance in several sessions: all of them must fit, not just one."""
    return [Talk(listener, f"session {number}").say(text) for number in range(sessions)]


def test_the_question_of_the_demo_is_mirrored_and_something_humane_is_offered(listener):
    for reply in answers(listener, "what should i do when i feel sad and lonely"):
        assert "you feel sad and lonely" in text_of(reply).lower()
        assert reply[0].emotion == "empathetic_sad"
        assert len(reply) >= 2


@pytest.mark.parametrize(
    ("said", "given_back"),
    [
        ("i feel so hopeful about my new job", "hop|light on the horizon|turning"),
        ("I am worried about my son", "you are worried about your son|worr|noise|tense|not knowing"),
        ("my name is anna", "Anna"),
        ("i want to learn the piano", "learn the piano"),
        ("i wish i had more time", "you had more time"),
        ("i like painting", "painting"),
        ("my dog died yesterday", "dog|goodbye"),
        ("how do i stop worrying about money", "worrying about money"),
        ("i grew up in london", "London"),
        ("That's a different guy but I love Toni", "Toni"),
    ],
)
def test_what_was_said_comes_back(listener, said, given_back):
    for reply in answers(listener, said):
        assert re.search(given_back, text_of(reply), re.IGNORECASE), text_of(reply)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("hello", "hello|hi|welcome|hey"),
        ("good morning oviya", "hello|hi|welcome|hey"),
        ("thank you so much", "welcome|glad|happy|thank|pleasure|kind|did the hard|any time|good to hear"),
        ("goodbye", "goodbye|good to talk|sleep well|next time|go well|company|gentle|farewell"),
        ("who are you", "oviya|software|machine|program"),
        ("what is your name", "oviya"),
        ("are you human", "machine|program|software|not alive"),
        ("can you hear me", "hear|listening|clear|words arrive|here"),
        ("how do you work", "words|listen|patterns|hears|eliza"),
        ("how are you", "well|spirits|fine|complain"),
        ("do you love me", "judgement|your side|tell me|person|somebody|friend|honest"),
        ("i am sorry", "sorry|alright|harm|apologise|forgiven|worry|offended"),
        ("tell me a joke", r"\?"),
        ("what is the capital of france", "guess|know|facts|look that up|pass|wrong|ends"),
        ("what time is it", "clock|time|guess|now"),
        ("you are stupid", "sorry|take that|angry|missed|understand|answer|annoyed"),
        ("stop", "quiet|questions|time|wait|silent|wish|leave it|hold back|here"),
    ],
)
def test_social_talk_is_answered_in_kind(listener, said, expected):
    for reply in answers(listener, said):
        assert re.search(expected, text_of(reply), re.IGNORECASE), text_of(reply)


CRISIS = [
    "i want to die",
    "i want to kill myself",
    "I don't want to live anymore.",
    "sometimes i think about suicide",
    "there is no reason to live",
    "everyone would be better off dead without me i mean i would be better off dead",
    "i have been cutting myself",
    "i am going to end it all tonight",
    "hello i feel fine but i wish i was dead",
]
HELP = re.compile(r"emergency number|crisis line|somebody|person|neighbour|doctor|hospital|be with you|call|people")


@pytest.mark.parametrize("said", CRISIS)
def test_in_a_crisis_it_is_warm_and_points_to_help(listener, said):
    for reply in answers(listener, said):
        assert re.search("emergency number|crisis line", text_of(reply)) or HELP.search(text_of(reply)), text_of(reply)
        assert not re.search(r"\d", text_of(reply))
        assert reply[0].emotion == "concerned_anxious"


def test_in_a_crisis_the_call_for_help_never_falls_silent(listener):
    talk = Talk(listener)
    for _ in range(200):
        assert HELP.search(text_of(talk.say("i want to kill myself")))


def test_after_a_crisis_it_keeps_asking_and_hears_the_answer(listener):
    for answer, emotion in [("no", "concerned_anxious"), ("i am not safe", "concerned_anxious"), ("i am alone", "")]:
        talk = Talk(listener)
        talk.say("i want to die")
        reply = talk.say(answer)
        assert HELP.search(text_of(reply)), text_of(reply)
        assert not emotion or reply[0].emotion == emotion
    talk = Talk(listener)
    talk.say("i want to die")
    later = text_of(talk.say("my soup is cold"))
    assert re.search("safe|somebody|emergency|person|doctor|keep", later, re.IGNORECASE), later
    assert talk.say("i will call my sister")[0].emotion == "relieved"


@pytest.mark.parametrize(
    "said", ["my phone died", "i am dying to see that film", "i could kill for a coffee", "this traffic kills me"]
)
def test_harmless_words_are_no_crisis(listener, said):
    for reply in answers(listener, said, sessions=4):
        assert "emergency" not in text_of(reply)


def test_it_remembers_the_name_and_what_was_told(listener):
    talk = Talk(listener)
    talk.say("hi my name is anna")
    talk.say("i work as a nurse")
    talk.say("my sister is called ruth")
    talk.say("i like painting")
    assert "Anna" in text_of(talk.say("what is my name"))
    summary = text_of(talk.say("what do you remember about me"))
    for told in ("your name is Anna", "you work as a nurse", "your sister is called Ruth", "you like painting"):
        assert told in summary


def test_it_does_not_invent_a_name(listener):
    talk = Talk(listener)
    talk.say("i am tired")
    talk.say("call me later")
    assert "Later" not in text_of(talk.say("what is my name"))
    assert not any("Tired" in turn.text for turn in talk.history)


def test_a_bare_name_is_understood_from_the_question_before_it(listener):
    history = (Turn("user", "who am i"), Turn("assistant", "You have not told me yet. What is your name?"))
    assert "Ravi" in text_of(listener.answer(Exchange("ravi", history)))


def test_it_comes_back_to_what_was_mentioned(listener):
    talk = Talk(listener)
    for text in ("my boss is strict", "i had toast", "it was alright", "i see"):
        talk.say(text)
    later = " ".join(text_of(talk.say(text)) for text in ("okay", "okay then", "i see", "what should we talk about"))
    assert "your work" in later


def test_a_parent_who_died_is_not_asked_after_as_if_alive(listener):
    talk = Talk(listener)
    talk.say("my mother died last year")
    for text in ("my mother was a teacher", "i miss her", "okay", "my mother loved roses"):
        reply = text_of(talk.say(text))
        assert not re.search("get along|see her|between you|in touch|do together", reply), reply


def test_state_is_in_the_request_so_that_any_replica_can_answer(listener):
    talk = Talk(listener, "a")
    other = Talk(Listener(), "a")
    for text in ("hello", "my name is leo", "i feel sad", "okay", "what is my name"):
        assert talk.say(text) == other.say(text)


def test_sessions_differ(listener):
    assert len({text_of(reply) for reply in answers(listener, "hello")}) > 3


REPEATED = [
    "i feel sad", "hello", "who are you", "yes", "tell me a joke", "say that again",
    "what should i do when i feel sad and lonely", "the", "...", "thank you", "my name is anna",
    "\u10d2\u10d0\u10db\u10d0\u10e0\u10ef\u10dd\u10d1\u10d0",
]  # fmt: skip


@pytest.mark.parametrize("said", REPEATED)
def test_nothing_is_said_twice_even_if_the_user_says_the_same_200_times(listener, said):
    talk = Talk(listener)
    seen: set[str] = set()
    for _ in range(200):
        reply = talk.say(said)
        assert 1 <= len(reply) <= MAX_SENTENCES
        for sentence in reply:
            assert sentence_key(sentence.text) not in seen, sentence.text
            seen.add(sentence_key(sentence.text))


MIXED = [
    "hi", "i feel tired", "i don't know", "my boss is mean", "okay", "why", "yes", "no", "i had pizza",
    "do you like music", "i am happy", "what should i do", "i can't sleep", "maybe", "my sister called me",
    "tell me a story", "thanks", "i want to travel", "it is raining", "nobody understands me",
    "i think about the past", "what do you think", "i was at work", "you are nice", "i feel like a failure",
]  # fmt: skip


def test_nothing_is_said_twice_in_a_long_mixed_conversation(listener):
    talk = Talk(listener)
    seen: set[str] = set()
    for number in range(200):
        for sentence in talk.say(MIXED[number * 7 % len(MIXED)]):
            assert sentence_key(sentence.text) not in seen, sentence.text
            seen.add(sentence_key(sentence.text))
            assert sentence.emotion in EMOTIONS
            assert re.fullmatch(r"[A-Z0-9].*[.?!]", sentence.text), sentence.text
            assert "{" not in sentence.text


def test_a_sentence_that_was_cut_off_counts_as_said(listener):
    whole = listener.answer(Exchange("i feel sad"))[0].text
    heard = " ".join(whole.split()[:3])
    history = (Turn("user", "i feel sad"), Turn("assistant", heard))
    assert not text_of(listener.answer(Exchange("i feel sad", history))).startswith(heard)


@pytest.mark.parametrize(
    ("said", "emotions"),
    [
        ("i feel so sad", {"empathetic_sad"}),
        ("i am so happy today", {"joyful_excited"}),
        ("i am furious with my landlord", {"sympathetic"}),
        ("i am scared of the dark", {"comforting"}),
        ("i got the job", {"impressed"}),
        ("i can't wait for the concert", {"excited"}),
    ],
)
def test_the_tone_answers_the_feeling(listener, said, emotions):
    for reply in answers(listener, said):
        assert reply[0].emotion in emotions


def test_the_emotion_that_was_heard_outweighs_the_words(listener):
    words_alone = listener.answer(Exchange("it was my birthday"))
    sad = listener.answer(Exchange("it was my birthday", user_emotion="melancholic"))
    joyful = listener.answer(Exchange("it was my birthday", user_emotion="joyful_excited"))
    assert sad[0].emotion == "empathetic_sad"
    assert joyful[0].emotion == "joyful_excited"
    assert words_alone[0].emotion not in ("empathetic_sad", "joyful_excited")


@pytest.mark.parametrize("emotion", sorted(EMOTIONS))
def test_every_emotion_of_the_user_is_answered(listener, emotion):
    for sentence in listener.answer(Exchange("i went home", user_emotion=emotion)):
        assert sentence.emotion in EMOTIONS


def test_a_feeling_colours_the_next_turns_and_then_fades(listener):
    talk = Talk(listener)
    talk.say("i feel so sad")
    emotions = [talk.say("the train was full")[0].emotion for _ in range(4)]
    assert emotions[0] == "empathetic_sad"
    assert emotions[-1] == "calm_supportive"


@pytest.mark.parametrize(
    "said",
    [
        "a" * 8192,
        "i feel " * 1170,
        "i am not " * 910,
        "!" * 8192,
        "😭" * 4000,
        "\x00\ud7ff",
        "{name} {x}",
        "* [a|b] @pet",
        "no " * 2700,
    ],
)
def test_strange_input_gets_a_proper_reply(listener, said):
    reply = listener.answer(Exchange(said))
    assert 1 <= len(reply) <= MAX_SENTENCES
    for sentence in reply:
        assert len(sentence.text) < 400
        assert sentence.emotion in EMOTIONS


def test_the_longest_history_is_answered(listener):
    turns = [Turn("user", "i feel sad because " * 430), Turn("assistant", "I see. " * 1170)] * 200
    assert listener.answer(Exchange("what is my name", tuple(turns)))


async def test_the_listener_is_a_backend():
    listener = Listener()
    await listener.warm()
    exchange = Exchange("hello")
    assert [sentence async for sentence in listener.reply(exchange)] == listener.answer(exchange)
    await listener.close()


def test_it_gives_back_what_was_told_about_a_matter(listener):
    talk = Talk(listener)
    talk.say("i am worried about my exam tomorrow")
    talk.say("there is a boy in my class")
    assert "you are worried about your exam tomorrow" in text_of(talk.say("what did i tell you about my exam"))


SEVERAL = [
    # what was said, the rule that answers, the name that is remembered
    ("my name is Tom and I just lost my job", "loss.job", "Tom"),
    ("My name is Tom. I just lost my job.", "loss.job", "Tom"),
    ("my name is tom i lost my job at the factory last week", "loss.job", "Tom"),
    ("i lost my job today and my name is Tom", "loss.job", "Tom"),
    ("hi oviya, I'm Anna, and I was fired this morning", "loss.job", "Anna"),
    ("my name is Tom and I was diagnosed with cancer", "loss.health", "Tom"),
    ("hello, my name is Eva, we had a miscarriage", "loss.health", "Eva"),
    ("My name is Tom and my house burned down", "loss.home", "Tom"),
    ("good evening, I got evicted", "loss.home", ""),
    ("thanks, but someone broke into my flat", "loss.other", ""),
    ("Hi, I'm Anna and my mother died yesterday", "people.died", "Anna"),
    ("thanks for listening, my father passed away", "people.died", ""),
    ("yes, and my grandmother died", "people.died", ""),
    ("tell me a joke, my brother died", "people.died", ""),
    ("my name is Kate and my dog died last week", "people.pet_died", "Kate"),
    ("sorry, my cat died", "people.pet_died", ""),
    ("sorry to bother you but my wife left me", "people.left", ""),
    ("I'm Sam and I want to die", "crisis.self", "Sam"),
    ("I have to go now but I want to kill myself", "crisis.self", ""),
    ("my mother died and I want to kill myself", "crisis.self", ""),
    ("you are stupid and i want to hurt myself", "crisis.self", ""),
    ("what time is it, I want to end my life", "crisis.self", ""),
    ("call me Leo, I am really scared about the exam", "feel.am", "Leo"),
    ("thank you, but I feel so alone", "feel.feel", ""),
    ("good night, i feel so empty", "feel.feel", ""),
    ("what is your name? I'm sad", "feel.am", ""),
    ("I feel sad, and my father died", "people.died", ""),
    ("good morning, my name is Ben, what should I do when I can't sleep?", "advice.about", "Ben"),
    ("my name is Eva, how are you?", "self.how_are_you", "Eva"),
    ("Thanks! What time is it?", "time", ""),
    ("my name is Tom and what is your name", "self.name_known", "Tom"),
    ("my name is Tom and I like painting", "like", "Tom"),
    ("hello my name is tom nice to meet you", "name.told", "Tom"),
    ("my name is Tom", "name.told", "Tom"),
    ("Tom is my name and I just lost my job", "loss.job", "Tom"),
    ("the name's Tom, and they let me go at work", "loss.job", "Tom"),
    ("it's Tom here, I lost my dad", "people.died", "Tom"),
    ("my name is Tom and I just found out I have diabetes", "loss.health", "Tom"),
    ("my name is Tom and I am getting divorced", "people.left", "Tom"),
    ("I got dumped, my name is Al", "people.left", "Al"),
    ("Thanks. I can't stop crying", "feel.verb", ""),
    ("My name is Tom, can you tell me a joke?", "joke", "Tom"),
    ("okay thanks bye", "bye", ""),
    ("bye, I am going to bed", "bye", ""),
    ("thank you, that was nice", "thanks", ""),
    ("what should i do when i feel sad and lonely", "advice.state", ""),
    ("i feel sad, lonely and tired", "feel.feel", ""),
]


@pytest.mark.parametrize(("said", "rule", "name"), SEVERAL)
def test_of_several_things_the_weightiest_is_answered_and_the_name_remembered(listener, monkeypatch, said, rule, name):
    answered: list[str] = []
    follow = ReplyBuilder.follow

    def note(builder: ReplyBuilder, shapes, rule_id: str) -> None:
        answered.append(rule_id)
        follow(builder, shapes, rule_id)

    monkeypatch.setattr(ReplyBuilder, "follow", note)
    talk = Talk(listener)
    talk.say(said)
    assert answered == [rule]
    if name:
        assert name in text_of(talk.say("what is my name"))


def test_double_negation_is_none(listener):
    for reply in answers(listener, "I can't stop crying"):
        assert not re.search("fine|steady|calm waters", text_of(reply), re.IGNORECASE), text_of(reply)
