"""The blocking client: speaks from scripts and notebooks.  A conversation needs two directions at once: see `Oviya`."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Self

import grpc

from oviya.client import wire
from oviya.client.aio import GATEWAY, GATEWAY_ADDRESS, OUTPUT_RATE_HZ, Speech, collect_speech, speak_request
from oviya.client.channel import channel_options
from oviya.client.events import SpeakEvent
from oviya.status import error_from_rpc
from oviya.v1 import conversation_pb2_grpc


class OviyaSync:
    """A gateway, reached over gRPC, without asyncio.  Use it as a context manager, or call `close`.

    Args:
        address: host:port of the gateway.
        timeout_s: longest time that one call may take as a whole.
        use_proxy: whether to go through the proxy of the environment (http_proxy, https_proxy, grpc_proxy); None: only
            where the host is not on this machine or in a private network.
    """

    def __init__(
        self, address: str = GATEWAY_ADDRESS, *, timeout_s: float = 300.0, use_proxy: bool | None = None
    ) -> None:
        self.address = address
        self._timeout_s = timeout_s
        self._channel = grpc.insecure_channel(address, options=channel_options(address, use_proxy))
        self._stub = conversation_pb2_grpc.ConversationServiceStub(self._channel)

    def speak(
        self,
        text: str,
        *,
        emotion: str = "",
        speaker: int = 0,
        voice: str = "auto",
        seed: int | None = None,
        sample_rate_hz: int = OUTPUT_RATE_HZ,
    ) -> Iterator[SpeakEvent]:
        """Speaks `text`, as fast as the voice can; arguments and errors as in `Oviya.speak`."""
        request = speak_request(
            text, emotion=emotion, speaker=speaker, voice=voice, seed=seed, sample_rate_hz=sample_rate_hz, lead_s=0.0
        )
        call = self._stub.Speak(request, timeout=self._timeout_s)
        try:
            for message in call:
                event = wire.from_speak(message)
                if event is not None:
                    yield event
        except grpc.RpcError as error:
            raise error_from_rpc(error, GATEWAY) from error
        finally:
            call.cancel()

    def say(
        self,
        text: str,
        *,
        emotion: str = "",
        speaker: int = 0,
        voice: str = "auto",
        seed: int | None = None,
        sample_rate_hz: int = OUTPUT_RATE_HZ,
    ) -> Speech:
        """Speaks `text` and returns the whole; arguments and errors as in `Oviya.speak`."""
        events = self.speak(
            text, emotion=emotion, speaker=speaker, voice=voice, seed=seed, sample_rate_hz=sample_rate_hz
        )
        return collect_speech(list(events), sample_rate_hz)

    def close(self) -> None:
        """Ends all running calls and the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
