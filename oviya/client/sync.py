"""The blocking client, for scripts and notebooks.  It only speaks; conversations need `Oviya`."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Self, Unpack

import grpc

from oviya.client import wire
from oviya.client.channel import channel_options
from oviya.client.events import SpeakEvent
from oviya.client.speaking import GATEWAY, GATEWAY_ADDRESS, SayOptions, Speech, collect_speech, speak_request
from oviya.status import error_from_rpc
from oviya.v1 import conversation_pb2_grpc


class OviyaSync:
    """The gateway, reached over gRPC, without asyncio.  Use it as a context manager, or call `close`.

    Args:
        address: host:port of the gateway.
        timeout_s: deadline of each call.
        use_proxy: as for `Oviya`.
    """

    def __init__(
        self, address: str = GATEWAY_ADDRESS, *, timeout_s: float = 300.0, use_proxy: bool | None = None
    ) -> None:
        self.address = address
        self._timeout_s = timeout_s
        self._channel = grpc.insecure_channel(address, options=channel_options(address, use_proxy))
        self._stub = conversation_pb2_grpc.ConversationServiceStub(self._channel)

    def speak(self, text: str, **options: Unpack[SayOptions]) -> Iterator[SpeakEvent]:
        """Speaks `text` as fast as the voice can; arguments and errors as for `Oviya.speak`."""
        call = self._stub.Speak(speak_request(text, **options), timeout=self._timeout_s)
        try:
            for message in call:
                event = wire.from_speak(message)
                if event is not None:
                    yield event
        except grpc.RpcError as error:
            raise error_from_rpc(error, GATEWAY) from error
        finally:
            call.cancel()

    def say(self, text: str, **options: Unpack[SayOptions]) -> Speech:
        """Speaks `text` and returns all of it; arguments and errors as for `Oviya.speak`."""
        return collect_speech(self.speak(text, **options), options)

    def close(self) -> None:
        """Cancels all running calls and closes the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
