"""Writes the reference clips, each speaker in each style, as RVQ frames to `voices.json` next to the CSM's weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from services.csm.request.voices import VOICES_FILE
from services.mimi.checkpoint import load_checkpoint
from services.mimi.engine.engine import MimiEngine
from training.demo_voice.speech import speak
from training.demo_voice.voices import SPEAKER_NAMES, SPEAKERS, STYLES

TEXT = "We talked about the weather, and then we went home."
"""The text of every clip: short, so that it takes few positions of a prompt."""


def write_clips(mimi: Path, csm: Path) -> None:
    """Writes the clips of the CSM in folder `csm`, encoded by the Mimi in folder `mimi`."""
    clips = []
    with MimiEngine(load_checkpoint(mimi, torch.device("cpu"))) as engine:
        for speaker, voice in SPEAKERS.items():
            for name, style in STYLES.items():
                samples = speak(TEXT, voice, style).samples.astype(np.float32) / np.float32(32768)
                with engine.open_encoder(24_000) as stream:
                    codes = np.concatenate((stream.encode(samples).result(), stream.finish().result()))
                clips.append({"name": name, "speaker": speaker, "text": TEXT, "codes": codes.tolist()})
    speakers = [{"id": number, "name": name} for number, name in SPEAKER_NAMES.items()]
    text = json.dumps({"speakers": speakers, "clips": clips}, separators=(",", ":"))
    (csm / VOICES_FILE).write_text(text.replace('{"name"', '\n{"name"') + "\n", encoding="utf-8")
