"""The sentences of the speech-to-text benchmarks."""

from __future__ import annotations

import re
from pathlib import Path

from services.stt.endpoint.sentence_end import CONJUNCTIONS

OTHERS_FILE = Path(__file__).resolve().parents[1] / "training" / "demo_voice" / "texts" / "held_out.txt"
MIN_CLAUSE_WORDS = 2

SENTENCES = (
    "what should i do when i feel sad and lonely",
    "hello my name is anna and i live in a small town near the sea",
    "the weather is very nice today and i want to go for a walk",
    "i had a long day at work and my boss was angry with me",
    "my mother called me this morning and said she is coming to visit",
    "i am worried about my exam next week",
    "thank you very much for your help",
    "sometimes i cannot sleep because i think too much",
)
"""The eight for word error rates."""

TURNS = (
    *SENTENCES,
    "can you tell me what time the train leaves tomorrow",
    "we went to the market and bought some bread and apples",
    "he asked me why i was late and i did not know what to say",
    "my brother is getting married in the summer",
    "please remind me to call the doctor on monday",
    "it has been raining all week and the children are bored",
    "i feel much better since i started to run every morning",
    "she told me a story about her father and his old car",
    "do you think that i should talk to him about it",
    "i do not know how to tell my parents the truth",
    "what is the best way to learn a new language",
    "my neighbor has a big dog that never stops barking",
    "i would like to book a table for two people tonight",
    "could you help me find a good present for my sister",
    "last night i had a strange dream about my old school",
    "how long does it take to get to the airport",
    "i lost my keys somewhere between the office and the station",
    "we are planning a trip to the mountains next month",
    "why do people always say that money does not matter",
    "my friend moved to another city and i miss her a lot",
    "is there anything that i can do to feel less tired",
    "the movie was good but the ending made me cry",
    "i have to give a speech in front of my whole class",
    "where did you put the book that i gave you yesterday",
    "my grandmother taught me how to cook when i was a child",
    "i am really happy that we finally found a new apartment",
    "are you going to the party on saturday night",
    "i wanted to ask you something about our conversation yesterday",
    "our team won the game and everybody went out to celebrate",
    "i think we should leave now before it gets dark",
    "the doctor said that i need to drink more water",
    "who was the first person to walk on the moon",
)
"""The forty for ends of turns, each also spoken with a pause after the word nearest its middle."""


def development() -> list[str]:
    """A hundred more, with punctuation, for developing endpointing rules."""
    return OTHERS_FILE.read_text(encoding="utf-8").splitlines()[0::2]


def held_out() -> list[str]:
    """A hundred more, with punctuation, that nothing was tuned on."""
    return OTHERS_FILE.read_text(encoding="utf-8").splitlines()[1::2]


def clause_place(text: str) -> int:
    """Returns the number of words before the comma or conjunction nearest the middle of `text`; if there is none,
    before the middle."""
    words = text.split()
    places = [
        place
        for place in range(MIN_CLAUSE_WORDS, len(words) - MIN_CLAUSE_WORDS + 1)
        if words[place - 1].endswith(",") or re.sub(r"\W", "", words[place].lower()) in CONJUNCTIONS
    ]
    middle = (len(words) + 1) // 2
    return min(places, key=lambda place: abs(place - middle), default=middle)
