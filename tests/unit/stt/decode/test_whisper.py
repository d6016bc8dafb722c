"""A Whisper session with a scripted model: when it decodes, what is committed, what is kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from services.stt.decode.whisper import Transcript, WhisperRecognizer, normal
from services.stt.endpoint.endpointing import EndSilence
from services.stt.engine.engine import SttEngine
from services.stt.engine.events import Final, LikelyEnd, Partial
from services.stt.engine.limits import EngineLimits, TurnLimits
from services.stt.recognizer import RecognizerInfo, Word
from tests.support.speech import SAD, silence, speak

SECOND = np.zeros(16_000, np.float32)


class ScriptedTranscriber:
    """Returns the scripted texts; each decode takes `cost_s` on its clock."""

    info = RecognizerInfo("scripted", "whisperx", "", ("mul",), vocabulary=True)

    def __init__(self, *texts: str, cost_s: float = 0.0):
        self.texts = list(texts)
        self.cost_s = cost_s
        self.now_s = 0.0
        self.loaded = False
        self.calls: list[tuple[float, Sequence[str], str | None, bool]] = []
        self.aligned: list[Sequence[str]] = []

    def load(self) -> None:
        self.loaded = True

    def transcribe(self, sound, vocabulary, language, *, draft):
        self.calls.append((len(sound) / 16_000, tuple(vocabulary), language, draft))
        self.now_s += self.cost_s
        text = self.texts.pop(0) if len(self.texts) > 1 else self.texts[0]
        return Transcript(tuple(text.split()), "en")

    def align(self, sound, words, language):
        self.aligned.append(tuple(words))
        return [Word(word, index * 0.2, index * 0.2 + 0.1, 0.9) for index, word in enumerate(words)]

    def recognizer(self):
        return WhisperRecognizer(self, 0.4, lambda: self.now_s)


def hypothesis_of(recognizer):
    return " ".join(word.text for word in recognizer.partial())


def texts(words):
    return [word.text for word in words]


def test_the_running_phrase_is_decoded_from_its_start_and_the_last_time_well():
    model = ScriptedTranscriber("Hello,", "Hello, my", "Hello, my name.")
    recognizer = model.recognizer()
    recognizer.begin_session(8_000, ["Anna"])
    recognizer.begin_phrase()
    recognizer.feed(SECOND)
    assert hypothesis_of(recognizer) == "hello"
    recognizer.feed(SECOND)
    assert hypothesis_of(recognizer) == "hello my"
    assert texts(recognizer.end_phrase(["hello"])) == ["hello", "my", "name"]
    assert model.loaded
    assert model.calls == [
        (1.0, ("Anna",), None, True),
        (2.0, ("Anna",), "en", True),
        (2.0, ("Anna",), None, False),
    ]


def test_committed_words_are_kept_by_the_last_decode():
    model = ScriptedTranscriber("i cannot sleep tonight")
    recognizer = model.recognizer()
    recognizer.begin_phrase()
    recognizer.feed(SECOND)
    assert texts(recognizer.end_phrase(["i", "can", "not"])) == ["i", "can", "not", "sleep", "tonight"]
    assert model.aligned == [("i", "can", "not", "sleep", "tonight")]


def test_at_most_half_of_the_time_goes_into_partials():
    model = ScriptedTranscriber("so", cost_s=0.3)
    recognizer = model.recognizer()
    recognizer.begin_phrase()
    for _ in range(100):
        recognizer.feed(SECOND[:1600])
        recognizer.partial()
        model.now_s += 0.1
    decoding_s = len(model.calls) * 0.3
    assert 0.4 <= decoding_s / model.now_s <= 0.55
    assert recognizer.partial() is None or model.calls


def test_a_phrase_without_words_is_not_aligned():
    model = ScriptedTranscriber("...")
    recognizer = model.recognizer()
    recognizer.begin_phrase()
    recognizer.feed(SECOND)
    assert recognizer.end_phrase([]) == []
    assert model.aligned == []


@pytest.mark.parametrize(
    ("written", "spoken"),
    [("Hello,", "hello"), ("“Yes!”", "yes"), ("don't", "don't"), ("—", ""), ("Élan.", "élan"), ("¿Qué?", "qué")],
)
def test_words_are_lower_case_without_punctuation_around_them(written, spoken):
    assert normal([written]) == ([spoken] if spoken else [])


async def test_a_session_commits_what_two_decodes_agree_on_and_never_withdraws_it():
    model = ScriptedTranscriber("What", "What should", "What shell I", "What should I do.", "What should I do when?")
    limits = TurnLimits(0.2, EndSilence(0.3, 0.9, 1.5), 60.0)
    engine = SttEngine(limits, EngineLimits(sessions=1, slots=1, warm=0, max_session_s=60.0), model.recognizer)
    await engine.start()
    with engine.session(16_000, vocabulary=["Oviya"]) as session:
        await session.open()
        sound = np.concatenate((silence(0.3), speak(SAD), silence(1.5)))
        events = [event async for event in session.push(sound)] + await session.finish()
    await engine.close()
    partials = [event.text for event in events if isinstance(event, Partial)]
    [final] = [event for event in events if isinstance(event, Final)]
    assert "what" in partials
    for before, after in zip(partials, [*partials[1:], final.text], strict=True):
        assert after.split()[: len(before.split())] == before.split()
    assert final.text == "what should i do when"
    assert all(vocabulary == ("Oviya",) for _, vocabulary, _, _ in model.calls)
    assert [event.text for event in events if isinstance(event, LikelyEnd)] in ([], [final.text])
