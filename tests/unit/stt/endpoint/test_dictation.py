"""Numbers and spellings that are read out are distinguished from quantities."""

from __future__ import annotations

import pytest

from services.stt.endpoint.dictation import Dictation, dictation
from services.stt.endpoint.endpointing import Endpointer, EndSilence
from services.stt.recognizer import Word

SILENCE = EndSilence(min_s=0.3, max_s=0.9, cap_s=1.5, dictation_s=2.2)

OPEN = [
    # announced, not begun
    "my number is",
    "my phone number's",
    "the code is",
    "my card number is",
    "you can reach me at",
    "call me on",
    "my last name is smith it's spelled",
    # phone numbers, as words and as figures, group by group
    "my number is five",
    "my number is five five five",
    "my phone number is four one five five five five",
    "sure it's oh seven seven double oh nine hundred",
    "five five five",
    "plus four four two oh seven nine four six",
    "oh six twelve thirty four",
    "my number is 555",
    "my number is 555-0123",
    "415 555",
    "(415) 555",
    "415-555-",
    "07700 900",
    "+44 20 7946",
    "5 5 5",
    "five five five dash",
    # cards, codes, accounts
    "my card number is four one one one",
    "my credit card is 4111 1111 1111",
    "the code is four eight two",
    "the code is 4 2",
    "zip code nine oh two",
    "my account number is one two three four five six seven eight",
    "the confirmation number is um four four",
    "social security number is one two three four five",
    "my plate is a b one two",
    # letters
    "my name is anna that's a n n",
    "s m i t h",
    "S-M-I",
    "it's spelled b",
    "it's spelled b as in boy",
    "that is spelled v for victor",
    "alpha bravo",
    # as Whisper writes them
    "My number is 555.",
    "My number is...",
    "My phone number is 415-55-5",
    "Sure, it's 0777 double-0900.",
    "5 5 5 1 2 3 4",
    "555-1234",
    "5, 5, 5,",
    "The code is 4-8",
    "My account number is 1-2-3, 5-6,",
    "My plate is a B12.",
    "S-M-I-T-H",
    "S.M.I.",
    "It's spelled SMI.",
    "It's spelled as SMI",
]
"""More follows, according to the words."""

COMPLETE = [
    "I am forty two.",
    "i am 42",
    "it's half past six",
    "it is six thirty",
    "at seven forty five",
    "at ten fifteen",
    "the train leaves at nine oh five",
    "six p m",
    "i was born in nineteen eighty four",
    "in 1984",
    "in twenty twenty six",
    "two thousand and six",
    "about a hundred and five",
    "five hundred twenty one thousand",
    "it costs twenty five",
    "three point one four",
    "it's a nine",
    "i have two",
    "two or three",
    "i earn 50000",
    "at 6 30",
    "room three oh five",
    "my lucky number is seven",
    "we won three one",
    "testing one two three",
    "call nine one one",
    "twenty four seven",
    "do you know what my number is",
    "i live in the u s",
    "i was watching t v",
    "plan b",
    "vitamin c",
    "thank you very much",
    "i want to go to the",
    "can you spell it",
    "",
    # as Whisper writes them
    "one, two, three",
    "1, 2, 3.",
    "Call 9-1-1",
    "9-1-1.",
    "at 6 p.m.",
    "at 6pm.",
    "It costs $50.",
    "It took 10-15",
    "on 12/25/2024.",
    "It's 3.14.",
    "I take vitamin B12.",
    "I live in the U.S.",
    "It's spelled differently.",
    "I think it's spelled right.",
    "How is it spelled?",
]
"""As complete as the sentence is."""

WHOLE = [
    "my phone number is four one five five five five oh one two three",
    "my phone number is 415 555 0123",
    "my phone number is 415-555-0123",
    "my card number is 4111 1111 1111 1111",
    "my pin is four eight two one",
    "my zip code is nine oh two one oh",
    "the code is 482113",
    "the area code is four one five",
    "he is five nine",
]
"""Numbers of the usual length."""


@pytest.mark.parametrize("text", OPEN)
def test_what_is_read_out_is_waited_for(text):
    assert dictation(text.split()) is Dictation.OPEN


@pytest.mark.parametrize("text", COMPLETE)
def test_a_quantity_is_complete(text):
    assert dictation(text.split()) is Dictation.NONE


@pytest.mark.parametrize("text", WHOLE)
def test_a_number_of_full_length_is_not_waited_for_as_long(text):
    assert dictation(text.split()) is Dictation.WHOLE


def silence_s(text):
    words = [Word(word, 0.3 * index, 0.3 * index + 0.25, 1.0, f" {word}") for index, word in enumerate(text.split())]
    return Endpointer(SILENCE).silence_s(words)


@pytest.mark.parametrize("text", OPEN)
def test_the_wait_is_long_enough_for_a_pause_between_groups_and_bounded(text):
    assert silence_s(text) == SILENCE.dictation_s


@pytest.mark.parametrize("text", [*COMPLETE, *WHOLE])
def test_nothing_else_waits_longer_than_an_unfinished_sentence(text):
    assert silence_s(text) <= SILENCE.max_s


@pytest.mark.parametrize("text", ["it's half past six", "it is half past six", "i was born in nineteen eighty four"])
def test_a_sentence_that_ends_with_a_quantity_waits_like_any_other(text):
    words = [
        Word(word, 0.3 * index, 0.3 * index + 0.05 * (len(word) + 1), 1.0, f" {word}")
        for index, word in enumerate(text.split())
    ]
    last = words[-1]
    words[-1] = Word(
        last.text, last.start_s, last.start_s + 1.8 * (last.end_s - last.start_s), 1.0, f"{last.written}.", 0.9
    )
    assert Endpointer(SILENCE).silence_s(words, fall=3.0) < SILENCE.max_s


def test_a_speaker_with_long_pauses_is_waited_for_as_long_as_the_longest_of_both():
    endpointing = Endpointer(EndSilence(min_s=0.3, max_s=0.9, cap_s=3.0, dictation_s=2.2))
    for _ in range(40):
        endpointing.add_pause(2.9)
    assert endpointing.silence_s([Word("five", 0.0, 0.3, 1.0, " five")] * 3) > 2.2


@pytest.mark.parametrize("text", ["milk, eggs,", "first of all:", "and then I went -"])
def test_a_list_that_goes_on_waits_as_long_as_an_unfinished_sentence(text):
    assert silence_s(text) == SILENCE.max_s
