"""espeak-ng through ctypes: one text at a time, with its PCM passed on as it is synthesized.

The library keeps its state in globals.  `espeak_Terminate` does not reset some of them (the phase of the voice, the
flutter of its pitch), so the same text would sound slightly different each time.  Each synthesis therefore loads the
library and unloads it at the end, which takes about 5 ms, and the same text gives the same samples.
"""

from __future__ import annotations

import _ctypes
import ctypes
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import espeakng_loader
import numpy as np
from numpy.typing import NDArray

from oviya.errors import OviyaError

SAMPLE_RATE_HZ = 22_050
"""Rate of espeak-ng's formant synthesizer."""
NORMAL_RATE_WPM = 175

# speak_lib.h of espeak-ng 1.52
_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_POS_CHARACTER = 1
_CHARS_UTF8, _END_PAUSE = 0x1, 0x1000
_BUFFER_MS = 20  # espeak-ng rounds it up to 60 ms

Samples16 = NDArray[np.int16]
Emit = Callable[[Samples16], bool]
"""Called with the next samples, shape (samples,); returns False to stop the synthesis."""

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

_libc = ctypes.CDLL(None)
_libc.free.argtypes = [ctypes.c_void_p]

_one_at_a_time = threading.Lock()  # the library's globals are shared by all threads


@dataclass(frozen=True)
class Delivery:
    """How to speak, in espeak-ng's units.

    Args:
        voice: name of a voice, optionally with "+" and a variant, e.g. "en-us+f2".
        rate_wpm: words a minute, 80 to 450.
        pitch: base of the fundamental frequency, 0 to 99; 50 is the voice's default.
        pitch_range: excursion of the fundamental frequency, 0 to 99; 50 is the voice's default.
        volume: amplitude in percent.  The loudest voices clip at full scale above 100.
    """

    voice: str = "en-us"
    rate_wpm: int = NORMAL_RATE_WPM
    pitch: int = 50
    pitch_range: int = 50
    volume: int = 100


def synthesize(text: str, delivery: Delivery, emit: Emit) -> None:
    """Speaks `text` to its end or until `emit` returns False.  Blocks.

    `text` is literal: SSML and phoneme input are off.  The caller must remove control characters, since espeak-ng
    interprets U+0001 as the start of a command.  The sound ends with the pause after a sentence.

    Raises:
        OviyaError: the library or its data is missing, or the voice does not exist.
        Exception: raised by `emit`.
    """
    with _one_at_a_time:
        library, voices = _load(), None
        try:
            data = espeakng_loader.get_data_path()
            if library.espeak_Initialize(_SYNCHRONOUS, _BUFFER_MS, data.encode(), _DONT_EXIT) != SAMPLE_RATE_HZ:
                raise OviyaError(f"espeak-ng cannot read its voices in {data}", hint="install espeakng-loader again")
            voices = library.espeak_ListVoices(None)
            _speak(library, text, delivery, emit)
        finally:
            library.espeak_Terminate()
            _libc.free(voices)  # the one block that Terminate does not free; unloading the library would leak it
            _ctypes.dlclose(library._handle)


def _load() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(espeakng_loader.get_library_path())
    except OSError as error:
        raise OviyaError(f"espeak-ng cannot be loaded: {error}", hint="pip install oviya[gateway]") from error
    pointer, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint
    library.espeak_Synth.argtypes = [pointer, size, number, ctypes.c_int, number, number, pointer, pointer]
    library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
    library.espeak_ListVoices.restype = pointer
    return library


def _speak(library: ctypes.CDLL, text: str, delivery: Delivery, emit: Emit) -> None:
    if library.espeak_SetVoiceByName(delivery.voice.encode()):
        raise OviyaError(f"espeak-ng has no voice {delivery.voice!r}")
    for parameter, value in (
        (_RATE, delivery.rate_wpm),
        (_VOLUME, delivery.volume),
        (_PITCH, delivery.pitch),
        (_RANGE, delivery.pitch_range),
    ):
        library.espeak_SetParameter(parameter, value, 0)
    library.espeak_ng_SetRandSeed(1)  # the generator of breath noise is seeded by the clock

    failure: list[BaseException] = []

    @_Callback
    def receive(samples: Any, count: int, _events: object) -> int:
        if not samples or count <= 0:
            return 0
        try:
            return 0 if emit(np.ctypeslib.as_array(samples, (count,)).copy()) else 1
        except BaseException as error:  # an exception cannot pass through C: it is raised after the call
            failure.append(error)
            return 1

    library.espeak_SetSynthCallback(receive)
    encoded = text.encode("utf-8", "replace") + b"\0"
    status = library.espeak_Synth(encoded, len(encoded), 0, _POS_CHARACTER, 0, _CHARS_UTF8 | _END_PAUSE, None, None)
    if failure:
        raise failure[0]
    if status:
        raise OviyaError(f"espeak-ng failed with status {status}")
