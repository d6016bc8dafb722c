"""The decoder pool.  Decoding is expensive, so there are few decoders, and each is acquired for one turn at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from oviya.errors import Busy
from services.stt import metrics
from services.stt.recognizer import Recognizer

RETRY_AFTER_S = 2.0
"""When a caller that found no free slot may try again, in seconds; turns last seconds."""


@dataclass(eq=False)
class Slot:
    """A recognizer and the one thread that calls it."""

    index: int
    recognizer: Recognizer
    loaded: bool = False
    """Whether the recognizer has loaded its model, as far as is known."""
    last_owner: object = None
    """The session to whose speaker the recognizer has adapted."""
    freed_at: float = 0.0
    """When it was released, in seconds of the event loop."""
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="stt-slot"))


class DecoderPool:
    """Assigns slots, first come, first served.

    Args:
        slots: all of them, free.
        wait_s: longest wait for one, in seconds.
    """

    def __init__(self, slots: Sequence[Slot], wait_s: float) -> None:
        self._count = len(slots)
        self._free = list(slots)
        self._wait_s = wait_s
        self._available = asyncio.Semaphore(len(slots))  # wakes those who wait in the order of their calls

    @property
    def free(self) -> list[Slot]:
        """The free slots."""
        return list(self._free)

    async def acquire(self, owner: object) -> Slot:
        """Waits for a slot; returns the one that `owner` had last where that is free.

        Raises:
            Busy: none became free in time.
        """
        loop = asyncio.get_running_loop()
        began, waits = loop.time(), self._available.locked()
        try:
            async with asyncio.timeout(self._wait_s):
                await self._available.acquire()
        except TimeoutError as error:
            metrics.SLOTS_REFUSED.inc()
            raise Busy(
                f"all {self._count} decoders are in use, and none became free within {self._wait_s:g} s",
                retry_after_s=RETRY_AFTER_S,
                hint="speak again in a moment, or raise STT_SLOTS",
            ) from error
        finally:
            if waits:
                metrics.SLOT_WAIT_SECONDS.observe(loop.time() - began)
        # The free slot that `owner` had last, else the loaded one that was free for longest.
        slot = min(self._free, key=lambda slot: (slot.last_owner is not owner, not slot.loaded, slot.freed_at))
        self._free.remove(slot)
        metrics.SLOTS_TAKEN.inc()
        return slot

    def release(self, slot: Slot, owner: object) -> None:
        """Releases a slot, for the session that has waited longest.

        Args:
            slot: one that `acquire` returned.
            owner: the session that had it; None if its recognizer must not be reused without `begin_session`.
        """
        slot.last_owner, slot.freed_at = owner, asyncio.get_running_loop().time()
        metrics.SLOTS_TAKEN.dec()
        self._free.append(slot)
        self._available.release()
