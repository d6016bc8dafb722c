"""Echo cancellation: `python -m benchmarks.echo [--prompts 24]`.

A reply, spoken by flite, returns through a loudspeaker that distorts and a room of 0.3 s reverberation into the
caller's microphone.  Speech is 26 dB below full scale, and the microphone's noise 65 dB.  Messages of 20 ms arrive with
jitter.

The first table has the reply alone.  ERLE (echo return loss enhancement) and the share of windows that Silero VAD takes
for speech, before and after, are those from the second second on; "first second" is the share after, before that.

In the second table, people say prompts over the reply, 3 s after it began.  Either the reply is paused 0.45 s later,
and its echo ends then, as it does in a conversation; or it goes on.  Word error rates of the speech-to-text model are
those of the user alone, of the microphone, and of what is left.  "onset" is how much later speech is detected than
without a reply.

The third table has the beginnings of twelve prompts, said so many seconds into the first reply, without an echo and
with one: the level of their first 0.4 s after cleaning, relative to the dry sound, and how much later than in the dry
sound speech is detected, of which 18 to 21 ms are the constant delay.  Both are medians; "latest" is the largest delay.
Detection works in windows of 32 ms.

CPU time is that of `EchoCanceller.clean`, per second of sound, while a reply is played and while none is.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.report import MACHINE, parser_for, print_table, quiet_logs, write_json
from services.gateway.echo.webrtc_apm import apm_delay
from services.stt.decode.whisper import WhisperRecognizer
from services.stt.endpoint.turn_state import SPEECH_PROBABILITY
from services.stt.endpoint.vad import WINDOW_SAMPLES, SileroVad
from services.stt.recognizer import Request
from services.stt.settings import SttSettings
from tests.support.echo_scenes import LEVEL, RATE_HZ, EchoPath, Sound, leveled, noise, reply, rms
from tests.support.echo_session import PLAYED_HZ, EchoSession
from tests.support.human_speech import prompts, read_prompt
from tests.support.speech import word_error_rate

PATHS = {
    "150 ms, -10 dB": EchoPath(),
    "40 ms, -6 dB": EchoPath(delay_s=0.04, gain_db=-6.0),
    "250 ms, 0 dB": EchoPath(delay_s=0.25, gain_db=0.0),
    "400 ms, -20 dB": EchoPath(delay_s=0.4, gain_db=-20.0),
    "drift of 100 ppm": EchoPath(drift_ppm=100.0),
    "strong distortion": EchoPath(overdrive=4.0),
    "much reverberation": EchoPath(reverberation=0.15),
}
JITTER_S = 0.02
ALONE_S, CONVERGED_S = 12, 1
BEGIN_S, PAUSED_AFTER_S = 3.0, 0.45
PROMPT_CHARS = (40, 110)
"""Lengths of the prompts: whole sentences that take 2 to 6 s."""

ONSET_PATHS = {
    "none": (None, -65.0),
    "none, noise of -50 dBFS": (None, -50.0),
    "-6 dB": (EchoPath(gain_db=-6.0), -65.0),
    "-12 dB": (EchoPath(gain_db=-12.0), -65.0),
    "-20 dB": (EchoPath(gain_db=-20.0), -65.0),
}
"""Echoes and the levels of the microphone's noise."""
ONSETS_S = (0.6, 1.5, 3.0, 5.0)
ONSET_S, ONSET_PROMPTS = 0.4, 12


class Judges:
    """What speech-to-text makes of a sound."""

    def __init__(self) -> None:
        self._vad = SileroVad()
        self._recognizer = WhisperRecognizer(SttSettings())
        self._recognizer.load()

    def speech(self, sound: Sound) -> np.ndarray:
        """Returns whether each window of 32 ms is speech."""
        stream = self._vad.stream()
        begins = range(0, len(sound) - WINDOW_SAMPLES + 1, WINDOW_SAMPLES)
        windows = (np.ascontiguousarray(sound[begin : begin + WINDOW_SAMPLES]) for begin in begins)
        return np.array([stream.probability(window) > SPEECH_PROBABILITY for window in windows])

    def words(self, sound: Sound) -> str:
        request = Request(np.ascontiguousarray(sound), len(sound) / RATE_HZ, language="en")
        return " ".join(word.text for word in self._recognizer.transcribe([request])[0].words)


def measure_alone(path: EchoPath, judges: Judges) -> dict[str, float]:
    played = reply(ALONE_S)
    microphone = path.echo(played) + noise(len(played))
    cleaned = EchoSession(RATE_HZ, reply(ALONE_S, PLAYED_HZ), jitter_s=JITTER_S).clean(microphone)
    before, after = judges.speech(microphone), judges.speech(cleaned)
    second = RATE_HZ // WINDOW_SAMPLES
    return {
        "erle_db": 20 * np.log10(rms(microphone[CONVERGED_S * RATE_HZ :]) / rms(cleaned[CONVERGED_S * RATE_HZ :])),
        "speech_before": before[CONVERGED_S * second :].mean(),
        "speech_after": after[CONVERGED_S * second :].mean(),
        "speech_first_second": after[:second].mean(),
    }


def measure_over_reply(path: EchoPath, names: list[str], texts: list[str], paused: bool, judges: Judges) -> dict:
    heard: dict[str, list[str]] = {"user": [], "microphone": [], "cleaned": []}
    onsets = []
    for number, name in enumerate(names):
        words, begin = leveled(read_prompt(name)), round(BEGIN_S * RATE_HZ)
        seconds = BEGIN_S + len(words) / RATE_HZ + 0.5
        voice = ("slt", "rms")[number % 2]
        user = noise(round(seconds * RATE_HZ))
        user[begin : begin + len(words)] += words
        audible = reply(seconds, voice=voice)
        if paused:
            audible[round((BEGIN_S + PAUSED_AFTER_S) * RATE_HZ) :] = 0
        microphone = user + path.echo(audible)
        session = EchoSession(
            RATE_HZ,
            reply(seconds, PLAYED_HZ, voice),
            jitter_s=JITTER_S,
            cut_s=BEGIN_S + PAUSED_AFTER_S if paused else None,
        )
        sounds = {"user": user, "microphone": microphone, "cleaned": session.clean(microphone)}
        for key, sound in sounds.items():
            heard[key].append(judges.words(sound[begin - RATE_HZ // 5 :]))
        first = BEGIN_S * RATE_HZ / WINDOW_SAMPLES
        alone, after = (np.argmax(judges.speech(sounds[key])[int(first) :]) for key in ("user", "cleaned"))
        onsets.append((after - alone) * WINDOW_SAMPLES / RATE_HZ)
    rates = {f"wer_{key}": word_error_rate(said, texts) for key, said in heard.items()}
    return rates | {"onset_s": float(np.mean(onsets)), "onset_max_s": float(np.max(onsets))}


def measure_onset(path: EchoPath | None, noise_db: float, begin_s: float, names: list[str], judges: Judges) -> dict:
    levels, delays = [], []
    begin, length = round(begin_s * RATE_HZ), round(ONSET_S * RATE_HZ)
    for number, name in enumerate(names):
        words = leveled(read_prompt(name))
        words = words[np.argmax(np.abs(words) > 0.4 * LEVEL) :][:RATE_HZ]
        played = reply(begin_s + 1.2)
        user = noise(len(played), noise_db)
        user[begin : begin + len(words)] += words
        microphone = user if path is None else user + path.echo(played)
        session = EchoSession(RATE_HZ, reply(begin_s + 1.2, PLAYED_HZ), jitter_s=JITTER_S, seed=number)
        cleaned = session.clean(microphone)
        delayed = begin + RATE_HZ // 100 + apm_delay(RATE_HZ)
        levels.append(20 * np.log10(rms(cleaned[delayed : delayed + length]) / rms(user[begin : begin + length])))
        first = begin // WINDOW_SAMPLES
        dry, after = (int(np.argmax(judges.speech(sound)[first:])) for sound in (user, cleaned))
        delays.append((after - dry) * WINDOW_SAMPLES / RATE_HZ)
    return {"level_db": float(np.median(levels)), "delay_s": float(np.median(delays)), "latest_s": float(max(delays))}


def measure_cpu(rate_hz: int, playing: bool) -> float:
    """Returns CPU seconds per second of sound."""
    played = reply(ALONE_S, PLAYED_HZ)
    microphone = EchoPath().echo(reply(ALONE_S, rate_hz), rate_hz) + noise(len(reply(ALONE_S, rate_hz)))
    session = EchoSession(rate_hz, played if playing else played[:0])
    began = time.process_time()
    session.clean(microphone)
    return (time.process_time() - began) / ALONE_S


def main() -> None:
    parser = parser_for("echo", __doc__)
    parser.add_argument("--prompts", type=int, default=24, help="prompts that are said over the reply")
    options = parser.parse_args()
    quiet_logs()
    judges = Judges()
    alone = {name: measure_alone(path, judges) for name, path in PATHS.items()}
    print_table(
        "The reply alone",
        ["echo", "ERLE", "speech before", "after", "first second"],
        [
            [name, f"{found['erle_db']:.0f} dB"]
            + [f"{found[key]:.1%}" for key in ("speech_before", "speech_after", "speech_first_second")]
            for name, found in alone.items()
        ],
    )
    fitting = [prompt for prompt in prompts() if PROMPT_CHARS[0] < len(prompt.text) < PROMPT_CHARS[1]]
    chosen = fitting[:: max(1, len(fitting) // options.prompts)][: options.prompts]
    names, texts = [prompt.name for prompt in chosen], [prompt.text for prompt in chosen]
    over: dict[str, Any] = {}
    for name in ("150 ms, -10 dB", "40 ms, -6 dB"):
        for paused in (True, False):
            label = f"{name}, {'paused' if paused else 'goes on'}"
            over[label] = measure_over_reply(PATHS[name], names, texts, paused, judges)
    print_table(
        f"{len(chosen)} prompts over the reply",
        ["reply", "WER user", "microphone", "cleaned", "onset", "latest"],
        [
            [name, *(f"{found[f'wer_{key}']:.1%}" for key in ("user", "microphone", "cleaned"))]
            + [f"{found[key] * 1000:.0f} ms" for key in ("onset_s", "onset_max_s")]
            for name, found in over.items()
        ],
    )
    onsets = {
        f"{name}, {begin_s} s": measure_onset(path, noise_db, begin_s, names[:ONSET_PROMPTS], judges)
        for name, (path, noise_db) in ONSET_PATHS.items()
        for begin_s in ONSETS_S
    }
    print_table(
        "Beginnings of words over the first reply",
        ["echo, begin", "level", "detected later", "latest"],
        [
            [name, f"{found['level_db']:.1f} dB", *(f"{found[key] * 1000:.0f} ms" for key in ("delay_s", "latest_s"))]
            for name, found in onsets.items()
        ],
    )
    cpu = {rate: {playing: measure_cpu(rate, playing) for playing in (True, False)} for rate in (8_000, 16_000, 48_000)}
    print_table(
        f"CPU time per second, {MACHINE}",
        ["rate", "while a reply is played", "else"],
        [[f"{rate} Hz", f"{found[True]:.2%}", f"{found[False]:.2%}"] for rate, found in cpu.items()],
    )
    figures = {
        "alone": alone,
        "over": over,
        "onsets": onsets,
        "cpu": {rate: found[True] for rate, found in cpu.items()},
    }
    write_json(options.json, {part: {str(k): v for k, v in found.items()} for part, found in figures.items()})


if __name__ == "__main__":
    main()
