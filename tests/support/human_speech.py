"""Human speech for tests and benchmarks: telephone prompts spoken by Allison Smith, from a Debian package.

The words are in human_prompts.tsv.  The recordings (CC BY-SA 3.0) are installed with the package; none are committed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

PACKAGE = "asterisk-core-sounds-en-g722"
FOLDER = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
WORDS = Path(__file__).with_name("human_prompts.tsv")


@dataclass(frozen=True)
class Prompt:
    """One recording.

    Attributes:
        name: file name without ".g722", e.g. "dir-welcome".
        text: what is said, in lower case without punctuation.
    """

    name: str
    text: str


@cache
def prompts() -> list[Prompt]:
    """Returns all prompts, sorted by name."""
    lines = WORDS.read_text(encoding="utf-8").splitlines()
    return [Prompt(*line.split("\t")) for line in lines if not line.startswith("#")]


@cache
def read_prompt(name: str) -> NDArray[np.float32]:
    """Reads the recording `name`.

    Returns:
        Samples at 16 kHz, shape (samples,), full scale 1.0.  Do not write into them.

    Raises:
        FileNotFoundError: The package with the recordings is not installed.
    """
    path = FOLDER / f"{name}.g722"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: apt-get install {PACKAGE}")
    with av.open(str(path), format="g722") as container:
        frames = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    sound = np.concatenate(frames).astype(np.float32) / np.float32(32768)
    sound.setflags(write=False)
    return sound
