"""Reads sound files of any format that FFmpeg supports as mono float32, block by block.

PyAV is imported when a file is opened.  Without it only PCM WAV files can be read (`oviya.audio.wav`).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self, cast

import numpy as np

from oviya.audio.frame_decoder import FrameDecoder
from oviya.audio.pcm import MAX_RATE_HZ, MIN_RATE_HZ, Pcm
from oviya.audio.pipes import peek
from oviya.audio.truncation import truncation_of
from oviya.audio.wav import decode_wav
from oviya.errors import InvalidInput

if TYPE_CHECKING:
    from av import AudioFrame

MAX_DURATION_S = 7200.0
"""Default limit of a recording's length in seconds: the longest session of speech-to-text."""
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1_000, 768_000
MAX_CHANNELS = 64
BLOCK_S = 0.5
"""Approximate length of the blocks of `SoundFile.blocks` in seconds."""
SHORTFALL_S, SHORTFALL_SHARE = 0.25, 0.03
"""A recording that is shorter than declared by more than this was cut short.  Encoders' padding is less."""
DEMUXERS = (
    "3gp,aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,gsm,loas,m4a,matroska,mj2,mov,mp3,mp4,"
    "mpeg,mpegts,nut,ogg,rm,sox,tta,voc,w64,wav,webm,wv"
)
"""Formats that may be opened.  Playlists are excluded: they refer to other files and addresses."""

ESTIMATED_LENGTH = ("aac", "amr", "ogg", "mpegts", "mpeg", "gsm", "ac3", "eac3", "dts", "loas")
"""Formats that do not declare their length; FFmpeg estimates it from the size and the bit rate."""

Source = Path | bytes | IO[bytes]
"""A path, the bytes of a file, or an open file, which may be a pipe."""


class SoundFile:
    """A sound file.  Use it as a context manager, or call `close`.

    Args:
        source: the file.
        name: name in errors; empty: the path.
        max_rate_hz: sound of a higher rate is resampled to this rate, 8,000 to 48,000 Hz.
        max_duration_s: longest accepted recording in seconds.
        field: request field in errors.

    Raises:
        InvalidInput: the file cannot be read, is empty, is no sound file, contains no sound, or is too long.
    """

    def __init__(
        self,
        source: Source,
        *,
        name: str = "",
        max_rate_hz: int = MAX_RATE_HZ,
        max_duration_s: float = MAX_DURATION_S,
        field: str = "file",
    ) -> None:
        self.name = name or (str(source) if isinstance(source, Path) else "the recording")
        self.container = self.codec = ""
        """FFmpeg's names of the container format and the codec."""
        self.channels = 0
        self.source_rate_hz = 0
        """Sample rate of the file."""
        self.sample_rate_hz = 0
        """Sample rate of the blocks."""
        self.duration_s: float | None = None
        """Declared length in seconds; None: unknown."""
        self.read_s = 0.0
        """Length in seconds of what was read so far."""
        self.problems: list[str] = []
        """Defects of the file that did not keep it from being read.  Complete after `blocks`."""
        self._field = field
        self._max_rate_hz = max_rate_hz
        self._max_duration_s = max_duration_s
        self._container: Any = None
        self._plain: Pcm | None = None
        self._resources = ExitStack()
        file = self._open(source)
        try:
            self._start(file)
        except BaseException:
            self.close()
            raise

    def blocks(self) -> Iterator[Pcm]:
        """Yields the sound in blocks of shape (samples,) at `sample_rate_hz`, full scale 1.0.  Call it once.

        Raises:
            InvalidInput: nothing can be decoded, or it is too long.
        """
        waiting: list[Pcm] = []
        enough = round(BLOCK_S * self.sample_rate_hz)
        yielded = 0
        for chunk in self._chunks():
            waiting.append(chunk)
            if sum(map(len, waiting)) >= enough:
                yield np.concatenate(waiting)
                yielded += 1
                waiting = []
        rest = np.concatenate([np.zeros(0, np.float32), *waiting])
        if len(rest):
            yield rest
        elif not yielded:
            raise self._refused("must hold at least one sample that can be decoded")

    def read(self) -> Pcm:
        """Returns all samples, shape (samples,).  Use it instead of `blocks`; raises the same errors."""
        return np.concatenate(list(self.blocks()))

    def close(self) -> None:
        """Closes the file, unless the caller opened it."""
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, source: Source) -> IO[bytes]:
        if isinstance(source, bytes):
            return io.BytesIO(source)
        if not isinstance(source, Path):
            return source
        try:
            return self._resources.enter_context(source.open("rb"))  # FFmpeg would treat "http://..." as an address
        except OSError as error:
            raise self._refused(f"must be readable: {error.strerror}") from error

    def _start(self, file: IO[bytes]) -> None:
        """Opens the container and selects its audio stream."""
        try:
            import av
            from av.error import FFmpegError
        except ImportError:
            self._start_plain(file)
            return
        try:
            head, reader = peek(file, self._resources)
        except OSError as error:
            raise self._refused(f"must be readable: {error.strerror or error}") from error
        except ValueError as error:
            raise self._refused(str(error), hint="name the file instead") from error
        if not head:
            raise self._refused("must not be empty")
        options = {"format_whitelist": DEMUXERS, "protocol_whitelist": "none"}
        try:
            container = av.open(cast("Any", reader), metadata_errors="replace", options=options)
            self._container = self._resources.enter_context(container)
        except (FFmpegError, ValueError, OSError) as error:
            raise self._refused(
                "must be a sound or video file that FFmpeg reads",
                hint="it may be something else, or cut off before its index",
            ) from error
        streams = self._container.streams.audio
        if not streams:
            raise self._refused("must hold sound: it has no audio stream")
        stream = streams[0]
        self.container, context = self._container.format.name, stream.codec_context
        if context is None and head[:4] == b"RIFF" and file.seekable():
            # Some recorders write an incomplete format GUID, which FFmpeg rejects and `decode_wav` accepts.
            file.seek(0)
            self._start_plain(file)
            return
        if context is None:
            raise self._refused("its sound has a coding that this FFmpeg cannot decode")
        self.codec, self.channels, self.source_rate_hz = context.name, context.channels, context.sample_rate
        self._check_form(self.channels, self.source_rate_hz)
        self.sample_rate_hz = min(max(self.source_rate_hz, MIN_RATE_HZ), self._max_rate_hz)
        if stream.duration and stream.time_base:
            self.duration_s = float(stream.duration * stream.time_base)
        elif self._container.duration:
            self.duration_s = self._container.duration / av.time_base
        if file.seekable() and (problem := truncation_of(file, head)):
            self.problems.append(problem)
        self._check_length(self.duration_s or 0.0)

    def _start_plain(self, file: IO[bytes]) -> None:
        blob = file.read()
        if blob[:4] != b"RIFF":
            raise self._refused("can only be a PCM WAV file where PyAV is missing", hint="pip install 'oviya[cli]'")
        self._plain, rate_hz = decode_wav(blob, self.name)
        if not MIN_RATE_HZ <= rate_hz <= self._max_rate_hz:
            limits = f"must be {MIN_RATE_HZ} to {self._max_rate_hz} Hz where PyAV cannot read it, not {rate_hz} Hz"
            raise self._refused(limits, hint="pip install 'oviya[cli]'")
        self.container, self.codec, self.channels = "wav", "pcm", 1
        self.source_rate_hz = self.sample_rate_hz = rate_hz
        self.duration_s = len(self._plain) / rate_hz
        self._check_length(self.duration_s)

    def _chunks(self) -> Iterator[Pcm]:
        """Yields the sound in chunks of any length."""
        if self._plain is not None:
            self.read_s = self.duration_s or 0.0
            yield self._plain
            return
        decoder = FrameDecoder(self.sample_rate_hz)
        try:
            for frame in self._frames():
                self._check_form(frame.layout.nb_channels, frame.sample_rate)
                self.read_s += frame.samples / frame.sample_rate
                self._check_length(self.read_s)
                yield decoder.push(frame)
            yield decoder.flush()
        except InvalidInput:
            raise
        except ValueError as error:  # from the downmix
            raise self._refused(str(error)) from error
        declared = self.duration_s
        if declared is not None and self.container not in ESTIMATED_LENGTH:
            missing_s = declared - self.read_s
            if missing_s > SHORTFALL_S + SHORTFALL_SHARE * declared and not self.problems:
                self.problems.append(f"it was cut short: {self.read_s:.1f} s of {declared:.1f} s are there")

    def _frames(self) -> Iterator[AudioFrame]:
        """Yields the frames that can be decoded; damaged packets are skipped and noted in `problems`."""
        from av.error import FFmpegError

        damaged = 0
        packets = self._container.demux(audio=0)
        while True:
            try:
                packet = next(packets, None)
            except (FFmpegError, OSError) as error:
                self.problems.append(f"it could not be read to its end ({error.strerror})")
                break
            if packet is None:
                break
            try:
                yield from packet.decode()
            except (FFmpegError, OSError):
                damaged += 1
        if damaged:
            self.problems.append(f"{damaged} damaged piece{'s were' if damaged > 1 else ' was'} left out")

    def _check_form(self, channels: int, rate_hz: int) -> None:
        if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
            raise self._refused(f"must be {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz, not {rate_hz} Hz")
        if not 1 <= channels <= MAX_CHANNELS:
            raise self._refused(f"must have 1 to {MAX_CHANNELS} channels, not {channels}")

    def _check_length(self, seconds: float) -> None:
        if seconds > self._max_duration_s:
            raise self._refused(
                f"must be at most {self._max_duration_s / 60:g} minutes long, not {seconds / 60:.0f} or more",
                hint="cut it into parts",
            )

    def _refused(self, limit: str, *, hint: str = "") -> InvalidInput:
        return InvalidInput(self._field, self.name, limit, hint=hint)
