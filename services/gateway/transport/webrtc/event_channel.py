"""The data channel between the page and its session: events as JSON to the page, typed messages from it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiortc import RTCDataChannel
from google.protobuf import json_format

from oviya.errors import Busy, InvalidInput, OviyaError
from oviya.status import detail_of
from oviya.v1 import conversation_pb2
from services.gateway.rate import TokenBucket
from services.gateway.transport.webrtc.page_message import read_message
from services.gateway.transport.webrtc.request_queue import RequestQueue

LABEL = "events"
"""Label of the channel that the page creates."""
MAX_UNSENT_BYTES = 1 << 20
"""Bytes of events that may wait in the channel; a page that leaves more unread counts as gone."""
MAX_EARLY_EVENTS = 64
"""Events kept until the channel opens."""
MESSAGE_RATE, MESSAGE_BURST = 10.0, 50.0
"""Messages that are read per second, and at once: more than anybody types."""
MAX_REFUSED_MESSAGES = 100
"""Messages refused by that rate before the peer is ended."""
MAX_OTHER_CHANNELS = 16
"""Channels with another label, or second ones, that are closed before the peer is ended."""


class EventChannel:
    """One peer's channel.

    Args:
        requests: queue for the typed messages.
        max_text_chars: longest typed turn.
        on_gone: called when the page has stopped reading.
        on_breach: called with the name of the bound that the page exceeded.
    """

    def __init__(
        self,
        requests: RequestQueue,
        max_text_chars: int,
        *,
        on_gone: Callable[[], object],
        on_breach: Callable[[str], object],
    ) -> None:
        self._requests = requests
        self._max_text_chars = max_text_chars
        self._on_gone, self._on_breach = on_gone, on_breach
        self._channel: RTCDataChannel | None = None
        self._early: list[str] = []
        self._messages = TokenBucket(MESSAGE_RATE, MESSAGE_BURST)
        self._refused_messages = self._other_channels = 0
        self.turn = 0
        """Number of the current turn; failures are reported for it."""

    def attach(self, channel: RTCDataChannel) -> None:
        """Takes the page's channel; closes any other one."""
        if channel.label != LABEL or self._channel is not None:
            self._other_channels += 1
            channel.close()
            if self._other_channels > MAX_OTHER_CHANNELS:
                self._on_breach("channels")
            return
        self._channel = channel
        channel.on("message", self._read)
        for message in self._early:
            channel.send(message)
        self._early.clear()

    def send(self, response: conversation_pb2.ConverseResponse) -> None:
        """Sends an event to the page, or keeps it until the channel is open."""
        message = json_format.MessageToJson(response, indent=None)
        if self._channel is None:
            if len(self._early) < MAX_EARLY_EVENTS:
                self._early.append(message)
        elif self._channel.readyState == "open":
            self._channel.send(message)
            if self._channel.bufferedAmount > MAX_UNSENT_BYTES:
                self._on_gone()

    def send_failure(self, error: OviyaError) -> None:
        """Sends an error that ends the session, as a turn_failed event of the current turn."""
        self.send(conversation_pb2.ConverseResponse(turn=self.turn, turn_failed=detail_of(error)))

    def _refuse(self, error: OviyaError) -> None:
        """Reports that a message was not followed; the session goes on."""
        self.send(conversation_pb2.ConverseResponse(turn=self.turn, request_failed=detail_of(error)))

    def _read(self, message: str | bytes) -> None:
        if not self._messages.try_acquire():
            self._refused_messages += 1
            if self._refused_messages > MAX_REFUSED_MESSAGES:
                self._on_breach("messages")
            else:
                self._refuse(Busy(f"more than {MESSAGE_RATE:g} messages a second", retry_after_s=1.0))
            return
        try:
            self._requests.put_nowait(read_message(message, self._max_text_chars))
        except asyncio.QueueFull:
            self._refuse(Busy("too many messages wait to be answered", retry_after_s=1.0))
        except InvalidInput as error:
            self._refuse(error)
