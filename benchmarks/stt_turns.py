"""When turns end, and when their words appear: `python -m benchmarks.stt_turns [--sets fitted development held-out]`.

There are three sets of sentences: `fitted`, forty in flite's slt, on which thresholds were set; `development`, a
hundred others in slt and rms alternately, for developing the rules; `held-out`, a hundred more in awb, kal16 and rms.

Sound is pushed in steps of 20 ms as fast as it is accepted.  Times are positions in the sound: an event has the
position at which it was decided.  `late` is the delay that processing would add in real time; it depends on the machine
and its load.

`end of turn` is the time from the last sound of speech to the event that ends the turn, `likely end` to the event that
lets a reply be prepared; `first words` is the time from the first sound of speech to the first partial with a word.  A
committed word is `taken back` if a later partial, a likely end or the final transcript does not begin with it and all
words before it.  `told while speaking` counts the words of the finals that were committed by the last sound of speech.

Then each sentence is spoken with a pause of 700 ms: in `fitted` after the word nearest the middle, in the others at the
comma or conjunction nearest the middle.  It is `cut off` if the turn ends in that pause.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.report import parser_for, print_table, quiet_logs, write_json
from benchmarks.stt_sentences import DEVELOPMENT, HELD_OUT, SPEECH_LEVEL, TURNS, clause_place
from services.stt.backends import make_engine
from services.stt.engine.engine import SttEngine
from services.stt.engine.events import Event, Final, LikelyEnd, Partial, TurnEnded
from services.stt.settings import SttSettings
from tests.support.speech import silence, speak, speak_with_pause, word_errors

RATE_HZ, STEP = 16_000, 320
LEAD_S, TAIL_S, PAUSE_S = 0.5, 1.8, 0.7
SETS = {
    "fitted": (TURNS, ("slt",)),
    "development": (DEVELOPMENT, ("slt", "rms")),
    "held-out": (HELD_OUT, ("awb", "kal16", "rms")),
}


@dataclass(frozen=True)
class TimedEvent:
    """An event, and the delay in seconds that processing would have added in real time."""

    event: Event
    late_s: float


async def play(engine: SttEngine, sound: np.ndarray) -> list[TimedEvent]:
    """Plays `sound` in a new session."""
    with engine.session(RATE_HZ) as session:
        await session.open()
        heard: list[TimedEvent] = []
        done_s = 0.0  # when processing would be done in real time
        for start in range(0, len(sound), STEP):
            due_s = min(start + STEP, len(sound)) / RATE_HZ
            began = time.perf_counter()
            events = [event async for event in session.push(sound[start : start + STEP])]
            done_s = max(done_s, due_s) + time.perf_counter() - began
            heard += [TimedEvent(event, done_s - due_s) for event in events]
        return heard + [TimedEvent(event, 0.0) for event in await session.finish()]


def follow(heard: list[TimedEvent], sound: np.ndarray, text: str) -> dict[str, Any]:
    """Returns the figures of a sentence without a pause."""
    loud = np.flatnonzero(np.abs(sound) > SPEECH_LEVEL) / RATE_HZ
    ends = [one for one in heard if isinstance(one.event, TurnEnded)]
    likely = [one.event.at_s for one in heard if isinstance(one.event, LikelyEnd)]
    told = [one.event for one in heard if isinstance(one.event, Partial) and one.event.text]
    finals = [one.event for one in heard if isinstance(one.event, Final)]
    published, taken_back, told_speaking = 0, 0, 0
    for final in finals:
        texts = [
            one.event.text.split()
            for one in heard
            if isinstance(one.event, Partial | LikelyEnd | Final) and one.event.turn == final.turn
        ]
        published += len(texts[-2]) if len(texts) > 1 else 0
        taken_back += sum(len(before) - _common(before, after) for before, after in itertools.pairwise(texts))
        told_speaking += max(
            (len(one.text.split()) for one in told if one.turn == final.turn and one.at_s <= loud[-1]), default=0
        )
    heard_text = " ".join(final.text for final in finals)
    return {
        "end_of_turn_s": ends[-1].event.at_s - loud[-1],
        "end_late_s": ends[-1].late_s,
        "likely_end_s": likely[-1] - loud[-1] if likely else None,
        "first_words_s": told[0].at_s - loud[0] if told else None,
        "turns": len(ends),
        "words": len(heard_text.split()),
        "told_speaking": told_speaking,
        "published": published,
        "taken_back": taken_back,
        "errors": word_errors(heard_text, _plain(text)),
        "said": len(_plain(text).split()),
    }


def _common(before: list[str], after: list[str]) -> int:
    """Returns the length of the common prefix."""
    return len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False))))


def _plain(text: str) -> str:
    return " ".join(word.strip(".,!?;:").lower() for word in text.split())


async def measure(engine: SttEngine, name: str, count: int | None) -> dict[str, Any]:
    """Plays every sentence of a set without and with a pause; returns the figures."""
    sentences, voices = SETS[name]
    spoken = list(zip(sentences, itertools.cycle(voices), strict=False))[:count]
    whole, cut, per_voice = [], [], {voice: [0, 0] for voice in voices}
    for text, voice in spoken:
        after = None if name == "fitted" else clause_place(text)
        paused = np.concatenate((silence(LEAD_S), speak_with_pause(text, PAUSE_S, voice, after), silence(TAIL_S)))
        heard = await play(engine, paused)
        per_voice[voice][1] += 1
        if sum(isinstance(one.event, TurnEnded) for one in heard) > 1:
            per_voice[voice][0] += 1
            cut.append(next(one.event.text for one in heard if isinstance(one.event, Final)))
        sound = np.concatenate((silence(LEAD_S), speak(text, RATE_HZ, voice), silence(TAIL_S)))
        whole.append(follow(await play(engine, sound), sound, text))

    def quantiles(figure: str, *percents: int) -> dict[int, float]:
        values = [one[figure] for one in whole if one[figure] is not None]
        return {percent: float(np.percentile(values, percent)) for percent in percents}

    def total(figure: str) -> int:
        return sum(one[figure] for one in whole)

    return {
        "set": name,
        "voices": voices,
        "sentences": len(spoken),
        "end_of_turn_s": quantiles("end_of_turn_s", 10, 50, 90, 100),
        "end_late_s": quantiles("end_late_s", 50, 90),
        "likely_end_s": quantiles("likely_end_s", 50, 90),
        "with_likely_end": sum(one["likely_end_s"] is not None for one in whole),
        "whole_sentences_cut": sum(one["turns"] > 1 for one in whole),
        "cut_off": len(cut) / len(spoken),
        "cut_off_by_voice": {voice: f"{cuts} of {said}" for voice, (cuts, said) in per_voice.items()},
        "cut_off_after": cut,
        "first_words_s": quantiles("first_words_s", 50, 90, 100),
        "told_while_speaking": total("told_speaking") / total("words"),
        "words_published": total("published"),
        "words_taken_back": total("taken_back"),
        "word_error_rate": total("errors") / total("said"),
    }


async def measure_sets(names: list[str], count: int | None) -> list[dict[str, Any]]:
    engine = make_engine(SttSettings(sessions=1, warm_decoders=1))
    await engine.start()
    rows = [await measure(engine, name, count) for name in names]
    await engine.close()
    return rows


def main() -> None:
    arguments = parser_for("stt_turns", __doc__)
    arguments.add_argument("--sets", nargs="+", choices=list(SETS), default=["fitted", "held-out"])
    arguments.add_argument("--sentences", type=int, help="how many of each set, from the first")
    options = arguments.parse_args()
    quiet_logs()
    rows = asyncio.run(measure_sets(options.sets, options.sentences))
    figures = {
        "sentences, flite's": lambda row: f"{row['sentences']}, {' '.join(row['voices'])}",
        "end of turn after a whole sentence": lambda row: _milliseconds(row["end_of_turn_s"]),
        "  late by": lambda row: _milliseconds(row["end_late_s"]),
        "likely end": lambda row: f"{_milliseconds(row['likely_end_s'])} (of {row['with_likely_end']})",
        f"cut off in a pause of {PAUSE_S * 1000:.0f} ms": lambda row: f"{row['cut_off']:.1%}",
        "  by voice": lambda row: ", ".join(f"{voice} {cuts}" for voice, cuts in row["cut_off_by_voice"].items()),
        "cut off without a pause": lambda row: f"{row['whole_sentences_cut']} of {row['sentences']}",
        "first words after speech starts": lambda row: _milliseconds(row["first_words_s"]),
        "words told while speaking": lambda row: f"{row['told_while_speaking']:.0%}",
        "published words taken back": lambda row: f"{row['words_taken_back']} of {row['words_published']}",
        "word error rate of the finals": lambda row: f"{row['word_error_rate']:.1%}",
    }
    columns = ("figure", *(row["set"] for row in rows))
    print_table("Turns, times of the sound", columns, [(title, *map(show, rows)) for title, show in figures.items()])
    for row in rows:
        for text in row["cut_off_after"]:
            print(f"{row['set']}, cut off after:", text)
    write_json(options.json, rows)


def _milliseconds(quantiles: dict[int, float]) -> str:
    return ", ".join(f"p{quantile} {value * 1000:.0f}" for quantile, value in quantiles.items()) + " ms"


if __name__ == "__main__":
    main()
