"""Keeps registered voices in a folder: one JSON file a voice, readable by the gateway's user only.

A file holds the text of the clip, its RVQ frames, and the hash of the token.  Several gateways may share the folder: a
file appears whole or not at all, and a name is given once.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
from contextlib import suppress
from pathlib import Path

import numpy as np

from oviya.errors import Busy, InvalidInput, OviyaError
from oviya.v1 import common_pb2
from services.gateway import metrics
from services.gateway.own_voice.registered_voice import RegisteredVoice

SUFFIX = ".voice.json"
MAX_FILE_BYTES = 1 << 17
"""Largest file of a voice: 30 s of 32 codebooks are 32 KB as base64."""
FULL_RETRY_S = 3600.0


class VoiceFolder:
    """The kept voices.  All methods block for the time of a file operation.

    Args:
        folder: is created if its parent exists.
        max_voices: voices that are kept; further ones are refused.

    Raises:
        OviyaError: the folder cannot be used.
    """

    def __init__(self, folder: Path, max_voices: int) -> None:
        self._folder, self._max_voices = folder, max_voices
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            writable = os.access(folder, os.R_OK | os.W_OK | os.X_OK)
        except OSError as error:
            raise OviyaError(f"GATEWAY_VOICE_STORE={folder}: {error.strerror}", hint="create the folder") from error
        if not writable:
            raise OviyaError(f"GATEWAY_VOICE_STORE={folder}: is not writable", hint="change its owner or mode")
        self._publish()

    def add(self, voice: RegisteredVoice) -> None:
        """Keeps a voice.

        Raises:
            InvalidInput: the name is taken.
            Busy: as many voices are kept as the settings allow.
            OviyaError: the file cannot be written.
        """
        path = self._path(voice.name)
        if self._count() >= self._max_voices:
            hint = "delete a voice or raise GATEWAY_MAX_KEPT_VOICES"
            raise Busy(f"all {self._max_voices} places for voices are taken", retry_after_s=FULL_RETRY_S, hint=hint)
        draft = self._folder / f".{secrets.token_hex(8)}.tmp"
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(_to_json(voice))
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, path)  # fails if the name is taken, also by another gateway
        except FileExistsError as error:
            raise InvalidInput("set_voice.keep_as", voice.name, "must be a name that is not taken") from error
        except OSError as error:
            raise OviyaError(f"the voice cannot be written: {error.strerror}") from error
        finally:
            with suppress(OSError):
                draft.unlink()
        self._publish()

    def get(self, name: str) -> RegisteredVoice | None:
        """Returns a voice; None: there is none of this name.

        Raises:
            OviyaError: its file cannot be read.
        """
        try:
            with self._path(name).open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise OviyaError(f"the voice cannot be read: {error.strerror}") from error
        try:
            if len(content) > MAX_FILE_BYTES:
                raise ValueError("too large")
            return _from_json(content)
        except (ValueError, KeyError, TypeError) as error:
            raise OviyaError(
                "the voice cannot be read: its file is damaged", hint="delete it and register it again"
            ) from error

    def remove(self, name: str) -> None:
        """Deletes a voice, if it is there.

        Raises:
            OviyaError: its file cannot be deleted.
        """
        try:
            self._path(name).unlink(missing_ok=True)
        except OSError as error:
            raise OviyaError(f"the voice cannot be deleted: {error.strerror}") from error
        self._publish()

    def _path(self, name: str) -> Path:
        """Returns the file of a name: any text is a name, so its hash is the file's."""
        return self._folder / f"{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}{SUFFIX}"

    def _count(self) -> int:
        try:
            return sum(entry.name.endswith(SUFFIX) for entry in os.scandir(self._folder))
        except OSError as error:
            raise OviyaError(f"the folder of the voices cannot be read: {error.strerror}") from error

    def _publish(self) -> None:
        metrics.VOICES.labels("kept").set(self._count())


def _to_json(voice: RegisteredVoice) -> bytes:
    codes = np.array(voice.frames.codes, "<u2").tobytes()
    content = {
        "name": voice.name,
        "secret": voice.secret,
        "text": voice.text,
        "codec": voice.codec,
        "codebooks": voice.frames.codebooks,
        "codes": base64.b64encode(codes).decode(),
        "created": voice.created,
    }
    return json.dumps(content).encode()


def _from_json(content: bytes) -> RegisteredVoice:
    fields = json.loads(content)
    codes = np.frombuffer(base64.b64decode(fields["codes"], validate=True), "<u2")
    frames = common_pb2.RvqFrames(codebooks=fields["codebooks"], codes=codes.tolist())
    return RegisteredVoice(
        str(fields["name"]), str(fields["secret"]), str(fields["text"]), frames, str(fields["codec"]),
        float(fields["created"]),
    )  # fmt: skip
