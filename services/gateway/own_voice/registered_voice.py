"""A voice that was registered, and where such voices are: in memory for an hour, or in files."""

from __future__ import annotations

import hmac
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from oviya.errors import Busy, PermissionDenied
from oviya.rvq import FRAME_S
from oviya.v1 import common_pb2
from services.gateway import metrics
from services.gateway.client_address import client_limit
from services.gateway.memory.session_handle import hash_token

TEMPORARY_S = 3600.0
"""Time in seconds for which an uploaded clip that is not kept can be spoken with."""
MAX_TEMPORARY = 256
"""Such clips at once; each takes up to 100 KB of memory."""


@dataclass(frozen=True)
class RegisteredVoice:
    """The voice of a clip.  The recording itself is not kept.

    Attributes:
        name: by which it is chosen.
        secret: hash of the token that permits speaking with it and deleting it.
        text: what is said in the clip.
        frames: its RVQ frames.
        codec: name of the Mimi checkpoint that encoded it.
        created: when it was registered, in seconds since 1970.
    """

    name: str
    secret: str = field(repr=False)
    text: str = field(repr=False)
    frames: common_pb2.RvqFrames = field(repr=False)
    codec: str
    created: float

    @property
    def duration_s(self) -> float:
        """Length of the clip in seconds."""
        return len(self.frames.codes) / max(1, self.frames.codebooks) * FRAME_S

    def check_token(self, token: str) -> None:
        """Checks the token.

        Raises:
            PermissionDenied: it is another one.
        """
        if not hmac.compare_digest(self.secret, hash_token(token)):
            raise denied()


def denied() -> PermissionDenied:
    """Returns the error for a wrong token and for an unknown name: the same for both, so that callers cannot find out
    which names exist."""
    return PermissionDenied(
        "there is no such voice, or the token does not belong to it",
        hint="send the token that came with the name; an upload that is not kept is forgotten after an hour",
    )


@dataclass(frozen=True)
class _Temporary:
    voice: RegisteredVoice
    client: str
    expires: float


class TemporaryVoices:
    """Voices of uploads that are not kept.

    Args:
        per_client: voices of one client; None: the default of `client_limit`.
        clock: monotonic time in seconds.
    """

    def __init__(self, per_client: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_client, self._clock = per_client, clock
        self._voices: dict[str, _Temporary] = {}

    def add(self, voice: RegisteredVoice, client: str) -> None:
        """Adds a voice.

        Raises:
            Busy: there are too many, in total or of this client.
        """
        self._forget_old()
        of_client = Counter(held.client for held in self._voices.values())[client]
        if len(self._voices) >= MAX_TEMPORARY or of_client >= client_limit(client, self._per_client, MAX_TEMPORARY):
            oldest = min(held.expires for held in self._voices.values())
            raise Busy(f"{len(self._voices)} uploaded voices are waiting", retry_after_s=oldest - self._clock())
        self._voices[voice.name] = _Temporary(voice, client, self._clock() + TEMPORARY_S)
        self._publish()

    def get(self, name: str) -> RegisteredVoice | None:
        """Returns a voice; None: there is none, or its time is over."""
        self._forget_old()
        held = self._voices.get(name)
        return held.voice if held else None

    def remove(self, name: str) -> None:
        """Forgets a voice, if it is there."""
        self._voices.pop(name, None)
        self._publish()

    def _forget_old(self) -> None:
        now = self._clock()
        for name in [name for name, held in self._voices.items() if held.expires <= now]:
            self.remove(name)

    def _publish(self) -> None:
        metrics.VOICES.labels("temporary").set(len(self._voices))
