"""What CSM gets as context of both sides."""

from __future__ import annotations

from oviya.v1 import common_pb2, csm_pb2
from services.gateway.voice.voice_context import MAX_SEGMENTS, MAX_USER_CHARS, VoiceContext

SPEAKER = 3
OWN_VOICES = range(8)


def frames(count: int = 2) -> common_pb2.RvqFrames:
    return common_pb2.RvqFrames(codebooks=2, codes=[1, 2] * count)


def texts(context: VoiceContext) -> list[str]:
    return [segment.text for segment in context.segments(SPEAKER)]


def exchange(context: VoiceContext, turn: int, sentences: int = 1) -> None:
    """Adds a turn of the user and the reply to it."""
    context.add_user(turn, f"Asked {chr(97 + turn)}.")
    for sentence in range(sentences):
        context.add_sentence(turn, SPEAKER, f"Said {chr(97 + turn)} {sentence}.", frames())


def test_both_sides_are_kept_in_order_with_their_sound():
    context = VoiceContext(5)
    context.add_user(0, "How are you?")
    context.add_sentence(0, SPEAKER, "Fine.", frames())
    context.add_sentence(0, SPEAKER, "And you?", frames(3))
    context.add_user_sound(0, frames(4))  # later than the reply
    user = context.segments(SPEAKER)[0].speaker
    assert context.segments(SPEAKER) == [
        csm_pb2.ContextSegment(speaker=user, text="How are you?", audio=frames(4)),
        csm_pb2.ContextSegment(speaker=SPEAKER, text="Fine.", audio=frames()),
        csm_pb2.ContextSegment(speaker=SPEAKER, text="And you?", audio=frames(3)),
    ]


def test_the_sound_of_a_turn_may_come_before_its_text():
    context = VoiceContext(5)
    exchange(context, 0)
    context.add_user_sound(1, frames(3))
    assert len(texts(context)) == 2
    context.add_user(1, "Likely words.")
    context.add_user(1, "Final words.")
    assert context.segments(SPEAKER)[-1].audio == frames(3)
    context.add_user(2, "Typed.")
    assert not context.segments(SPEAKER)[-1].HasField("audio")


def test_a_turn_without_sound_is_text_only():
    context = VoiceContext(5)
    context.add_user(0, "How are you?")
    assert not context.segments(SPEAKER)[0].HasField("audio")


def test_what_the_user_said_is_written_as_csm_reads_it():
    context = VoiceContext(5)
    context.add_user(0, "it costs $5")
    context.add_user(1, "\u041c\u043e\u0441\u043a\u0432\u0430", "ru")
    context.add_user(2, "\u2026")  # nothing that is said
    assert texts(context) == ["it costs five dollars.", "Moskva."]


def test_old_turns_are_dropped_together_so_that_the_context_seldom_begins_with_another_one():
    context, first = VoiceContext(5), []
    for turn in range(12):
        exchange(context, turn, sentences=3)
        first.append(texts(context)[0])
    assert first == ["Asked a."] * 5 + ["Asked d."] * 3 + ["Asked g."] * 3 + ["Asked j."]


def test_the_newest_turns_are_always_kept():
    for limit in (1, 2, 5):
        context = VoiceContext(limit)
        for turn in range(12):
            exchange(context, turn)
            letters = [chr(97 + each) for each in range(turn + 1)]
            everything = [text for letter in letters for text in (f"Asked {letter}.", f"Said {letter} 0.")]
            assert texts(context)[-limit:] == everything[-limit:]
            assert len(texts(context)) <= 2 * limit


def test_without_turns_nothing_is_kept():
    context = VoiceContext(0)
    exchange(context, 0)
    context.add_user_sound(0, frames())
    assert context.segments(SPEAKER) == []


def test_a_reply_of_many_sentences_keeps_its_newest():
    context = VoiceContext(5)
    context.add_user(0, "Tell me a story.")
    for number in range(3 * MAX_SEGMENTS):
        context.add_sentence(0, SPEAKER, f"Sentence {number}.", frames())
        assert len(texts(context)) <= MAX_SEGMENTS
        assert texts(context)[-1] == f"Sentence {number}."
    assert len(texts(context)) >= MAX_SEGMENTS // 2


def test_a_long_turn_keeps_its_last_words_without_their_sound():
    context = VoiceContext(5)
    context.add_user(0, "word " * 200 + "and the end.")
    context.add_user_sound(0, frames())
    (segment,) = context.segments(SPEAKER)
    assert len(segment.text) <= MAX_USER_CHARS
    assert segment.text.startswith("word word")
    assert segment.text.endswith("and the end.")
    assert not segment.HasField("audio")


def test_sound_of_a_turn_that_is_not_kept_is_dropped():
    context = VoiceContext(1)
    for turn in range(4):
        exchange(context, turn)
    context.add_user_sound(0, frames())
    assert not any(segment.HasField("audio") for segment in context.segments(SPEAKER) if segment.speaker != SPEAKER)


def test_an_interrupted_reply_keeps_the_sentences_that_were_heard():
    context = VoiceContext(5)
    exchange(context, 0, sentences=2)
    exchange(context, 1, sentences=3)
    context.cut_reply(1, ["Said b 0."])
    assert texts(context) == ["Asked a.", "Said a 0.", "Said a 1.", "Asked b.", "Said b 0."]
    context.cut_reply(1, [])
    assert texts(context)[-1] == "Asked b."


def test_a_reply_that_is_not_used_leaves_nothing():
    context = VoiceContext(5)
    exchange(context, 0)
    exchange(context, 1)
    context.add_user_sound(1, frames())
    context.remove(1)
    assert texts(context) == ["Asked a.", "Said a 0."]
    context.add_user(1, "Something else.")
    context.add_user(1, "Something else again.")  # the final words of the turn
    assert not context.segments(SPEAKER)[-1].HasField("audio")
    assert texts(context)[2:] == ["Something else again."]


def test_another_voice_does_not_follow_the_one_before():
    context = VoiceContext(5)
    exchange(context, 0)
    context.change_voice()
    assert texts(context) == ["Asked a."]
    exchange(context, 1)
    assert texts(context) == ["Asked a.", "Asked b.", "Said b 0."]


def test_a_speaker_without_a_voice_of_its_own_does_not_hear_the_user():
    context = VoiceContext(5)
    exchange(context, 0)
    context.add_user_sound(0, frames())
    for speaker, known, heard in ((SPEAKER, OWN_VOICES, True), (10, OWN_VOICES, False), (10, (), True)):
        user, reply = context.segments(speaker, known)
        assert user.HasField("audio") == heard
        assert reply.HasField("audio")


def test_the_user_has_a_speaker_id_that_no_voice_has():
    context = VoiceContext(5)
    for turn in range(4):
        exchange(context, turn)
    for speaker, known in ((SPEAKER, OWN_VOICES), (8, OWN_VOICES), (0, ()), (SPEAKER, ())):
        users = {segment.speaker for segment in context.segments(speaker, known) if segment.text.startswith("Asked")}
        assert len(users) == 1
        assert users.isdisjoint({speaker, SPEAKER, *known})


def test_a_sentence_in_the_voice_before_a_change_is_left_out():
    context = VoiceContext(5)
    voice = context.voice
    context.add_user(0, "Hello.")
    context.change_voice()
    context.add_sentence(0, SPEAKER, "Said in the old voice.", frames(), voice=voice)
    context.add_sentence(1, SPEAKER, "Said in the new voice.", frames(), voice=context.voice)
    assert texts(context) == ["Hello.", "Said in the new voice."]
