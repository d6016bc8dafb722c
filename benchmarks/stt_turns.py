"""When turns end: `python -m benchmarks.stt_turns [--sets human "human held-out" ...]`.

The sets of sentences are those of `benchmarks.stt_pauses`.  The first table tells how well a turn's end is told from a
pause within it 200 ms after speech stops: by the words, the lengthening of the last one, the pitch and the recognizer's
certainty of the full stop ("words"), by Smart Turn, and by `completeness`, which joins them.  It gives the ends that
score above all but 5 % of the pauses, and two operating points in the terms of eot-bench.

The second table is of the whole engine.  Sound is pushed in steps of 20 ms as fast as it is accepted.  Times are
positions in the sound: an event has the position at which it was decided, whatever its computation took.

`end of turn` is the time from the last sound of speech to the event that ends the turn, `likely end` to the event that
lets a reply be prepared.

Each sentence is also spoken with a pause of 700 ms at a clause.  It is `cut off` if the turn ends in that pause.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.report import parser_for, print_table, quiet_logs, write_json
from benchmarks.stt_pauses import (
    LEAD_S,
    NOISE,
    SETS,
    Observer,
    OperatingPoints,
    Pause,
    Utterance,
    operating_points,
    utterances,
)
from benchmarks.stt_sentences import SPEECH_LEVEL
from oviya.audio.pcm import Pcm
from services.stt.backends import make_engine
from services.stt.decode.whisper import WhisperRecognizer
from services.stt.endpoint.completeness import completeness
from services.stt.engine.engine import SttEngine
from services.stt.engine.events import Event, Final, LikelyEnd, TurnEnded
from services.stt.settings import SttSettings
from tests.support.speech import silence, word_errors
from tests.support.transcripts import normalized

RATE_HZ, STEP = 16_000, 320
TAIL_S, PAUSE_S = 2.8, 0.7
SCORES = {
    "words": lambda pause: completeness(pause.words, pause.fall),
    "Smart Turn": lambda pause: pause.turn_end,
    "joined": lambda pause: completeness(pause.words, pause.fall, pause.turn_end),
}


async def play(engine: SttEngine, sound: Pcm) -> list[Event]:
    """Plays `sound` in a new session."""
    with engine.session(RATE_HZ) as session:
        await session.open()
        heard: list[Event] = []
        for start in range(0, len(sound), STEP):
            heard += [event async for event in session.push(sound[start : start + STEP])]
        return heard + await session.finish()


def follow(heard: list[Event], sound: np.ndarray, text: str) -> dict[str, Any]:
    """Returns the figures of a sentence without a pause."""
    loud = np.flatnonzero(np.abs(sound) > SPEECH_LEVEL) / RATE_HZ
    ends = [one for one in heard if isinstance(one, TurnEnded)]
    likely = [one.at_s for one in heard if isinstance(one, LikelyEnd)]
    finals = [one for one in heard if isinstance(one, Final)]
    heard_text = " ".join(final.text for final in finals)
    return {
        "end_of_turn_s": ends[-1].at_s - loud[-1],
        "likely_end_s": likely[-1] - loud[-1] if likely else None,
        "turns": len(ends),
        "errors": word_errors(normalized(heard_text), normalized(text)),
        "said": len(normalized(text).split()),
    }


def compare(spoken: list[Utterance], observer: Observer) -> dict[str, OperatingPoints]:
    """Returns the operating points of each of `SCORES`."""
    pauses: list[Pause] = [pause for utterance in spoken for pause in observer.pauses(utterance)]
    return {
        name: operating_points(*([score(pause) for pause in pauses if pause.is_end == end] for end in (True, False)))
        for name, score in SCORES.items()
    }


def _around(speech: Pcm, utterance: Utterance) -> Pcm:
    """Returns speech with silence before and after it, and the noise of the recordings."""
    sound = np.concatenate((silence(LEAD_S), speech, silence(TAIL_S)))
    level = NOISE if utterance.human else 0.0
    return sound + np.random.default_rng(0).normal(0, level, len(sound)).astype(np.float32)


async def measure(engine: SttEngine, name: str, spoken: list[Utterance]) -> dict[str, Any]:
    """Plays every sentence of a set without and with a pause; returns the figures."""
    whole: list[dict[str, Any]] = []
    cut: list[str] = []
    paused = [utterance for utterance in spoken if utterance.cut is not None]
    voices = sorted({utterance.voice for utterance in spoken})
    per_voice = {voice: [0, sum(one.voice == voice for one in paused)] for voice in voices}
    for utterance in paused:
        heard = await play(engine, _around(utterance.with_pause(PAUSE_S), utterance))
        begins_s = LEAD_S + (utterance.cut or (0, 0))[0] / RATE_HZ
        ends_s = [one.at_s for one in heard if isinstance(one, TurnEnded)]
        if any(begins_s < end_s < begins_s + PAUSE_S for end_s in ends_s):
            per_voice[utterance.voice][0] += 1
            cut.append(utterance.before)
    for utterance in spoken:
        if utterance.whole:
            sound = _around(utterance.sound, utterance)
            whole.append(follow(await play(engine, sound), sound, utterance.text))

    def quantiles(figure: str, *percents: int) -> dict[int, float]:
        values = [one[figure] for one in whole if one[figure] is not None]
        return {percent: float(np.percentile(values, percent)) for percent in percents}

    def total(figure: str) -> int:
        return sum(one[figure] for one in whole)

    return {
        "set": name,
        "voices": voices,
        "sentences": len(whole),
        "pauses": len(paused),
        "end_of_turn_s": quantiles("end_of_turn_s", 10, 50, 90, 100),
        "likely_end_s": quantiles("likely_end_s", 50, 90),
        "with_likely_end": sum(one["likely_end_s"] is not None for one in whole),
        "whole_sentences_cut": sum(one["turns"] > 1 for one in whole),
        "cut_off": len(cut) / len(paused),
        "cut_off_by_voice": {voice: f"{cuts} of {said}" for voice, (cuts, said) in per_voice.items()},
        "cut_off_after": cut,
        "word_error_rate": total("errors") / total("said"),
    }


async def measure_sets(sets: dict[str, list[Utterance]]) -> list[dict[str, Any]]:
    engine = make_engine(SttSettings(sessions=1))
    await engine.start()
    rows = [await measure(engine, name, spoken) for name, spoken in sets.items()]
    await engine.close()
    return rows


def main() -> None:
    arguments = parser_for("stt_turns", __doc__)
    arguments.add_argument("--sets", nargs="+", choices=list(SETS), default=["held-out", "human held-out"])
    arguments.add_argument("--sentences", type=int, help="how many of each set, from the first")
    arguments.add_argument("--part", choices=("scores", "engine"), help="only one of the tables")
    options = arguments.parse_args()
    quiet_logs()
    recognizer = WhisperRecognizer(SttSettings())
    recognizer.load()
    sets = {name: list(itertools.islice(utterances(name, recognizer), options.sentences)) for name in options.sets}
    figures: dict[str, Any] = {}
    if options.part != "engine":
        observer = Observer(recognizer)
        scores = {name: compare(spoken, observer) for name, spoken in sets.items()}
        print_scores(scores)
        figures["scores"] = {
            name: {score: asdict(points) for score, points in row.items()} for name, row in scores.items()
        }
    if options.part != "scores":
        figures["engine"] = asyncio.run(measure_sets(sets))
        print_turns(figures["engine"])
    write_json(options.json, figures)


def print_scores(scores: dict[str, dict[str, OperatingPoints]]) -> None:
    columns = ("set", "score", "ends found", "cut off at 300 ms", "delay at 5 % cut off")
    lines = [
        (name, score, f"{at.ends_at_cut:.0%}", f"{at.cut_at_budget:.1%}", f"{at.delay_at_cut_s * 1000:.0f} ms")
        for name, row in scores.items()
        for score, at in row.items()
    ]
    print_table("Ends told from pauses, 200 ms after speech stops", columns, lines)


def print_turns(rows: list[dict[str, Any]]) -> None:
    figures = {
        "sentences, pauses": lambda row: f"{row['sentences']}, {row['pauses']}; {' '.join(row['voices'])}",
        "end of turn after a whole sentence": lambda row: _milliseconds(row["end_of_turn_s"]),
        "likely end": lambda row: f"{_milliseconds(row['likely_end_s'])} (of {row['with_likely_end']})",
        f"cut off in a pause of {PAUSE_S * 1000:.0f} ms": lambda row: f"{row['cut_off']:.1%}",
        "  by voice": lambda row: ", ".join(f"{voice} {cuts}" for voice, cuts in row["cut_off_by_voice"].items()),
        "cut off without a pause": lambda row: f"{row['whole_sentences_cut']} of {row['sentences']}",
        "word error rate of the finals": lambda row: f"{row['word_error_rate']:.1%}",
    }
    columns = ("figure", *(row["set"] for row in rows))
    print_table("Turns, times of the sound", columns, [(title, *map(show, rows)) for title, show in figures.items()])
    for row in rows:
        for text in row["cut_off_after"]:
            print(f"{row['set']}, cut off after:", text)


def _milliseconds(quantiles: dict[int, float]) -> str:
    return ", ".join(f"p{quantile} {value * 1000:.0f}" for quantile, value in quantiles.items()) + " ms"


if __name__ == "__main__":
    main()
