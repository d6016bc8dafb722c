"""`oviya transcribe`: words and their times, from the speech-to-text service alone."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import Any

import av
import numpy as np
import pytest

from oviya.audio.wav import write_wav
from tests.support.speech import SAD, silence, speak, word_errors


def encoded(container: str, codec: str, samples: np.ndarray, rate_hz: int, layout: str = "mono") -> bytes:
    """Samples, interleaved, as a file."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream: Any = out.add_stream(codec, rate=rate_hz)
        stream.layout = layout
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis].astype(np.float32), format="flt", layout=layout)
        frame.sample_rate = rate_hz
        for piece in av.AudioResampler(format=stream.format, layout=layout, rate=rate_hz).resample(frame):
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return file.getvalue()


def test_a_question_is_written_down_with_its_times(cli, question):
    done = cli("transcribe", str(question), "--json")
    assert done.code == 0, done.stdout + done.stderr
    report = done.document
    assert word_errors(report["text"], SAD) <= 2
    (turn,) = report["turns"]
    times = [time for word in turn["words"] for time in (word["start_s"], word["end_s"])]
    assert times == sorted(times)
    assert times[-1] <= report["duration_s"]
    assert turn["start_s"] < turn["end_s"] <= report["duration_s"]
    assert report["duration_s"] == pytest.approx(len(speak(SAD)) / 16_000, abs=0.001)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100])
def test_other_sample_rates_are_heard(cli, tmp_path, rate):
    write_wav(tmp_path / "in.wav", speak(SAD, rate), rate)
    report = cli("transcribe", "in.wav", "--json").document
    assert report["sample_rate_hz"] == rate
    if rate >= 16_000:
        assert word_errors(report["text"], SAD) <= 2
    assert "lonely" in report["text"]  # half of the band is missing at 8 kHz: telephone speech is heard less well


def test_silence_splits_turns(cli, tmp_path):
    write_wav(tmp_path / "in.wav", np.concatenate([speak(SAD), silence(1.5), speak(SAD)]), 16_000)
    first, second = cli("transcribe", "in.wav", "--json").document["turns"]
    assert word_errors(first["text"], SAD) <= 2
    assert word_errors(second["text"], SAD) <= 2
    assert second["start_s"] > first["end_s"] + 1


def test_people_read_times_and_words(cli, question):
    done = cli("transcribe", str(question))
    assert done.code == 0, done.stderr
    assert "lonely" in done.stdout
    assert " s  " in done.stdout


def test_silence_has_no_turns(cli, tmp_path):
    write_wav(tmp_path / "in.wav", silence(2), 16_000)
    report = cli("transcribe", "in.wav", "--json").document
    assert (report["text"], report["turns"]) == ("", [])
    assert "no speech" in cli("transcribe", "in.wav").stdout


@pytest.mark.parametrize(("container", "codec", "rate"), [("mp3", "libmp3lame", 44_100), ("mp4", "aac", 48_000)])
def test_other_kinds_of_files_are_heard(cli, tmp_path, container, codec, rate):
    (tmp_path / "in").write_bytes(encoded(container, codec, speak(SAD, rate), rate))
    report = cli("transcribe", "in", "--json").document
    assert report["problems"] == []
    assert word_errors(report["text"], SAD) <= 2


def test_channels_out_of_phase_are_heard(cli, tmp_path):
    stereo = np.stack((speak(SAD), -speak(SAD)), axis=1)
    (tmp_path / "in.wav").write_bytes(encoded("wav", "pcm_s16le", stereo.reshape(-1), 16_000, "stereo"))
    assert word_errors(cli("transcribe", "in.wav", "--json").document["text"], SAD) <= 2


def test_standard_input_is_heard(cli, question):
    with question.open("rb") as file:
        command = [sys.executable, "-m", "oviya.cli", "transcribe", "-", "--json"]
        done = subprocess.run(command, stdin=file, env=cli.env, capture_output=True, timeout=120, check=True)
    assert word_errors(json.loads(done.stdout)["text"], SAD) <= 2
    done = subprocess.run(
        command, input=question.read_bytes(), env=cli.env, capture_output=True, timeout=120, check=True
    )
    assert word_errors(json.loads(done.stdout)["text"], SAD) <= 2


def test_a_recording_that_was_cut_short_is_used_and_said_to_be(cli, question, tmp_path):
    (tmp_path / "in.wav").write_bytes(question.read_bytes()[:-20_000])
    done = cli("transcribe", "in.wav", "--json")
    assert (done.code, len(done.document["problems"])) == (0, 1)
    assert len(done.document["text"].split()) >= 4
    assert "cut short" in cli("transcribe", "in.wav").stderr


def test_a_file_that_is_none_and_a_service_that_is_not_there(cli, question, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    refused = cli("transcribe", "bad.wav", "--json")
    assert (refused.code, refused.document["error"]["field"]) == (2, "file")
    missing = cli("transcribe", str(question), "--address", "127.0.0.1:9", "--json")
    assert (missing.code, missing.document["error"]["type"]) == (3, "Unavailable")
