"""Sound files of any kind to mono float32, piece by piece: whatever FFmpeg reads, through PyAV.

PyAV is imported when a file is opened.  Without it plain WAV files can be read (`oviya.audio.wav`).
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Protocol, Self, cast

import numpy as np

from oviya.audio.channels import Downmix
from oviya.audio.frames import FORMATS, planes
from oviya.audio.pcm import MAX_RATE_HZ, MIN_RATE_HZ, Pcm
from oviya.audio.wav import decode_wav
from oviya.errors import InvalidInput

if TYPE_CHECKING:
    from av import AudioFrame, AudioResampler

MAX_DURATION_S = 7200.0
"""Longest recording in seconds, if the caller sets no other limit: speech-to-text's longest session."""
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1_000, 768_000
MAX_CHANNELS = 64
MANY_PLANES = 8
"""PyAV gives as arrays only frames of fewer planes than this; those of more are packed first."""
BLOCK_S = 0.5
"""Length in seconds of what `SoundFile.blocks` yields at a time, more or less."""
SHORTFALL_S, SHORTFALL_SHARE = 0.25, 0.03
"""A recording that is shorter than its header says by more than this was cut short: encoders pad by less."""
SPOOL_BYTES = 2 << 30
"""Largest file with its index at the end that is taken from a pipe."""
UNKNOWN_SIZES = (0, 0x7FFFFFFF, 0xFFFFFFFF)
"""Sizes in a RIFF header that say nothing: the file was written to a pipe."""
DEMUXERS = (
    "3gp,aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,gsm,loas,m4a,matroska,mj2,mov,mp3,mp4,"
    "mpeg,mpegts,nut,ogg,rm,sox,tta,voc,w64,wav,webm,wv"
)
"""What may be opened.  Playlists and the like are not among them: they name other files and addresses."""

Source = Path | bytes | IO[bytes]
"""A path, a whole file in memory, or an open file, which may be a pipe."""


class _Readable(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


class SoundFile:
    """A sound file that is being read.  Use it as a context manager, or call `close`.

    Args:
        source: the file.
        name: what errors call it; empty: its path.
        max_rate_hz: sound of a higher rate is resampled to this one, 8,000 to 48,000 Hz; lower rates stay.
        max_duration_s: longest recording that is taken.
        field: field of the request that errors name.

    Raises:
        InvalidInput: it cannot be read, is empty, is no sound file, has no sound in it, or is too long.
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
        """FFmpeg's names of the file's form and coding."""
        self.channels = 0
        self.source_rate_hz = 0
        """Rate of the file."""
        self.sample_rate_hz = 0
        """Rate of what `blocks` yields."""
        self.duration_s: float | None = None
        """Length in seconds as the file says; None: it does not."""
        self.read_s = 0.0
        """Length in seconds of what has been read."""
        self.problems: list[str] = []
        """What was wrong with the file, though it was read as far as it goes.  Complete after `blocks`."""
        self._field = field
        self._max_rate_hz = max_rate_hz
        self._max_duration_s = max_duration_s
        self._container: Any = None
        self._plain: Pcm | None = None
        self._own: IO[bytes] | None = None
        file = self._open(source)
        try:
            self._start(file)
        except BaseException:
            self.close()
            raise

    def blocks(self) -> Iterator[Pcm]:
        """Yields the sound from its beginning, shape (samples,) at `sample_rate_hz`, full scale 1.0.  Called once.

        Raises:
            InvalidInput: there is no sound in it after all, or it is too long.
        """
        waiting: list[Pcm] = []
        enough = round(BLOCK_S * self.sample_rate_hz)
        yielded = 0
        for piece in self._pieces():
            waiting.append(piece)
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
        """Returns all of the sound, shape (samples,).  Instead of `blocks`, which says what it raises."""
        return np.concatenate(list(self.blocks()))

    def close(self) -> None:
        """Closes the file, if it was opened here."""
        if self._container is not None:
            self._container.close()
            self._container = None
        if self._own is not None:
            self._own.close()
            self._own = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, source: Source) -> IO[bytes]:
        if isinstance(source, bytes):
            return io.BytesIO(source)
        if not isinstance(source, Path):
            return source
        try:
            self._own = source.open("rb")  # FFmpeg itself would take "http://..." for an address
        except OSError as error:
            raise self._refused(f"must be readable: {error.strerror}") from error
        return self._own

    def _start(self, file: IO[bytes]) -> None:
        """Opens the container and finds its sound."""
        try:
            import av
            from av.error import FFmpegError
        except ImportError:
            self._start_plain(file)
            return
        head, reader = self._reader(file)
        if not head:
            raise self._refused("must not be empty")
        options = {"format_whitelist": DEMUXERS, "protocol_whitelist": "none"}
        try:
            self._container = av.open(cast("Any", reader), metadata_errors="replace", options=options)
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
            # Some recorders leave a part of the format's GUID out, which FFmpeg does not know and our reader does.
            self._container.close()
            self._container = None
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
        self._note_missing_bytes(file, head)
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

    def _reader(self, file: IO[bytes]) -> tuple[bytes, _Readable]:
        """Returns the file's first bytes, and the file from its beginning as FFmpeg shall see it."""
        try:
            if file.seekable():
                at = file.tell()
                head = file.read(24)
                file.seek(at)
                return head, file
            head = file.read(24)
            if head[4:8] != b"ftyp":
                return head, _Pipe(head, file)
            # MP4 has its index at the end: it cannot be read from a pipe
            spool = tempfile.TemporaryFile()  # noqa: SIM115  (`close` closes it)
            self._own = self._own or cast("IO[bytes]", spool)
            spool.write(head)
            while chunk := file.read(1 << 20):
                if spool.tell() + len(chunk) > SPOOL_BYTES:
                    raise self._refused(f"at most {SPOOL_BYTES >> 20} MiB from a pipe", hint="name the file instead")
                spool.write(chunk)
            spool.seek(0)
        except OSError as error:
            raise self._refused(f"must be readable: {error.strerror or error}") from error
        return head, cast("_Readable", spool)

    def _pieces(self) -> Iterator[Pcm]:
        """Yields the sound in pieces of any length."""
        if self._plain is not None:
            self.read_s = self.duration_s or 0.0
            yield self._plain
            return
        decoder = _Decoder(self.sample_rate_hz)
        try:
            for frame in self._frames():
                self._check_form(frame.layout.nb_channels, frame.sample_rate)
                self.read_s += frame.samples / frame.sample_rate
                self._check_length(self.read_s)
                yield decoder.push(frame)
            yield decoder.flush()
        except InvalidInput:
            raise
        except ValueError as error:  # of the mix
            raise self._refused(str(error)) from error
        declared = self.duration_s
        if declared is not None and self._declares_its_length():
            missing_s = declared - self.read_s
            if missing_s > SHORTFALL_S + SHORTFALL_SHARE * declared and not self.problems:
                self.problems.append(f"it was cut short: {self.read_s:.1f} s of {declared:.1f} s are there")

    def _frames(self) -> Iterator[AudioFrame]:
        """Yields what can be decoded; passes over what is damaged, and says so."""
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

    def _declares_its_length(self) -> bool:
        """Whether the length comes from the file and is no guess from its size and its bit rate."""
        return self.container not in ("aac", "amr", "ogg", "mpegts", "mpeg", "gsm", "ac3", "eac3", "dts", "loas")

    def _note_missing_bytes(self, file: IO[bytes], head: bytes) -> None:
        """Notes what the file's own marks say of its end, where its length does not tell."""
        if not file.seekable():
            return
        at = file.tell()
        size = file.seek(0, os.SEEK_END)
        if head[:4] == b"RIFF":
            declared = int.from_bytes(head[4:8], "little")
            if declared not in UNKNOWN_SIZES and declared + 8 > size + 1:
                self.problems.append(f"it was cut short: {size} of {declared + 8} bytes are there")
        elif head[:4] == b"riff" and int.from_bytes(head[16:24], "little") > size:  # Wave64: a GUID, then the size
            self.problems.append(f"it was cut short: {size} of {int.from_bytes(head[16:24], 'little')} bytes are there")
        elif head[:4] == b"OggS":
            file.seek(max(0, size - (1 << 17)))
            tail = file.read()
            last = tail.rfind(b"OggS")  # the last page's header: the flag 4 ends the stream (RFC 3533)
            if 0 <= last < len(tail) - 5 and not tail[last + 5] & 4:
                self.problems.append("it was cut short: the end of its stream is missing")
        file.seek(at)

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


class _Pipe:
    """A pipe of which the first bytes were read already; without `seek`, so that FFmpeg does not try."""

    def __init__(self, head: bytes, rest: _Readable) -> None:
        self._head = head
        self._rest = rest

    def read(self, size: int = -1, /) -> bytes:
        if self._head:
            head, self._head = self._head[:size], self._head[size:]
            return head
        return self._rest.read(size)


class _Decoder:
    """Frames to mono samples of one rate; what the frames are may change on the way."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._downmix: Downmix | None = None
        self._resampler: AudioResampler | None = None
        self._source_hz = 0

    def push(self, frame: AudioFrame) -> Pcm:
        """Returns a frame's sound, shape (samples,)."""
        parts: list[Pcm] = []
        if frame.sample_rate != self._source_hz:
            parts.append(self.flush())
            self._source_hz = frame.sample_rate
        plain = frame.format.name in FORMATS and not (
            frame.format.is_planar and frame.layout.nb_channels >= MANY_PLANES
        )
        samples = planes(frame if plain else _as_packed(frame))
        if self._downmix is None or self._downmix.channels != len(samples):
            self._downmix = Downmix(len(samples))
        parts.append(self._resample(np.clip(self._downmix.push(samples), -1.0, 1.0)))
        return np.concatenate(parts)

    def flush(self) -> Pcm:
        """Returns what the resampler still holds."""
        if self._resampler is None:
            return np.zeros(0, np.float32)
        frames, self._resampler = self._resampler.resample(None), None
        return _joined(frames)

    def _resample(self, samples: Pcm) -> Pcm:
        if self._source_hz == self._rate_hz or not len(samples):
            return samples
        from av import AudioFrame, AudioResampler

        if self._resampler is None:
            self._resampler = AudioResampler(format="flt", layout="mono", rate=self._rate_hz)
        frame = AudioFrame.from_ndarray(samples[np.newaxis], format="flt", layout="mono")
        frame.sample_rate = self._source_hz
        return _joined(self._resampler.resample(frame))


def _as_packed(frame: AudioFrame) -> AudioFrame:
    from av import AudioResampler

    return AudioResampler(format="dbl", layout=frame.layout, rate=frame.sample_rate).resample(frame)[0]


def _joined(frames: list[AudioFrame]) -> Pcm:
    return np.concatenate([np.zeros(0, np.float32), *(frame.to_ndarray()[0].astype(np.float32) for frame in frames)])


def read_sound(source: Source, **how: Any) -> tuple[Pcm, int, list[str]]:
    """Reads a whole sound file; takes and raises what `SoundFile` does.

    Returns:
        Samples, shape (samples,), full scale 1.0, their rate in Hz, and what was wrong with the file.
    """
    with SoundFile(source, **how) as sound:
        return sound.read(), sound.sample_rate_hz, sound.problems
