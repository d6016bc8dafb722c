"""The voices that ship with a checkpoint: named speakers, and reference clips as RVQ frames.

They are in `voices.json` beside the weights:

    {"speakers": [{"id": 0, "name": "clear"}, ...],
     "clips": [{"name": "calm", "speaker": 0, "text": "...", "codes": [[...], ...]}, ...]}
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from oviya.errors import CheckpointError, InvalidInput
from services.csm.model.config import CsmConfig
from services.csm.request.prompt import Segment

VOICES_FILE = "voices.json"


@dataclass(frozen=True)
class Voices:
    """The voices of a checkpoint.

    Attributes:
        speakers: names by id.
        clips: by name, then by speaker.
    """

    speakers: Mapping[int, str] = field(default_factory=dict)
    clips: Mapping[str, Mapping[int, Segment]] = field(default_factory=dict)

    def clip(self, name: str, speaker: int) -> Segment:
        """The reference clip `name` of `speaker`.

        Raises:
            InvalidInput: it does not exist.
        """
        of_speakers = self.clips.get(name)
        if of_speakers is None:
            limit = f"must be one of {', '.join(self.clips)}" if self.clips else "this checkpoint ships no clips"
            near = difflib.get_close_matches(name[:64].lower(), self.clips, n=3, cutoff=0.4)
            raise InvalidInput("reference_clip", name, limit, suggestions=near)
        if speaker not in of_speakers:
            limit = f"speakers with reference clips are {', '.join(map(str, sorted(of_speakers)))}"
            raise InvalidInput("speaker", speaker, limit, hint="leave reference_clip empty for other speakers")
        return of_speakers[speaker]


def load_voices(folder: Path, config: CsmConfig) -> Voices:
    """Reads the voices of the checkpoint in `folder`; none if the file is missing.

    Raises:
        CheckpointError: the file is invalid, or a clip does not fit the model.
    """
    path = folder / VOICES_FILE
    if not path.exists():
        return Voices()
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        speakers = {int(speaker["id"]): str(speaker["name"]) for speaker in fields["speakers"]}
        clips: dict[str, dict[int, Segment]] = {}
        for clip in fields["clips"]:
            clips.setdefault(str(clip["name"]), {})[int(clip["speaker"])] = _segment(clip, config)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    return Voices(speakers, clips)


def _segment(clip: Mapping[str, Any], config: CsmConfig) -> Segment:
    codes = np.asarray(clip["codes"], np.int64)
    if codes.ndim != 2 or codes.shape[1] != config.codebooks:
        raise ValueError(f"clip {clip['name']!r} is of shape {codes.shape}, not (frames, {config.codebooks})")
    if not len(codes) or codes.min() < 0 or codes.max() >= config.codebook_size:
        raise ValueError(f"clip {clip['name']!r} has codes outside 0 to {config.codebook_size - 1}, or none")
    return Segment(int(clip["speaker"]), str(clip["text"]), codes, reference=True)
