"""`oviya transcribe` against a scripted service: what it shows of a transcript's language."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from oviya.audio.wav import write_wav
from tests.support.scripted_services import RATE_HZ, ScriptedStt
from tests.support.serving import serve_for_test


async def transcribed(address: str, recording: Path, *options: str) -> str:
    command = [sys.executable, "-m", "oviya.cli", "transcribe", str(recording), "--address", address, *options]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    shown, _ = await process.communicate()
    assert process.returncode == 0
    return shown.decode()


@pytest.mark.parametrize(("language", "mark"), [("de", "[de] "), ("en", ""), ("", "")])
async def test_the_language_is_shown_where_it_is_not_english(tmp_path, language, mark):
    recording = tmp_path / "in.wav"
    write_wav(recording, np.full(RATE_HZ // 2, 0.1, np.float32), RATE_HZ)
    stt = ScriptedStt("Hallo, Welt.")
    stt.language = language
    async with serve_for_test(stt) as served:
        shown = await transcribed(served.address, recording)
        report = json.loads(await transcribed(served.address, recording, "--json"))
    assert shown.splitlines()[-1].endswith(f"s  {mark}Hallo, Welt.")
    (turn,) = report["turns"]
    assert (turn["text"], turn["language"]) == ("Hallo, Welt.", language)
    assert [word["text"] for word in turn["words"]] == ["hallo", "welt"]
