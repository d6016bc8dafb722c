"""Stands between the gateway and Mimi, passes everything on, and keeps the sound that was decoded."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import grpc
import numpy as np

from oviya.audio.pcm import Pcm, decode_pcm
from oviya.v1 import mimi_pb2

DECODE = "/oviya.v1.MimiService/Decode"
THREADS = 32
"""Each call takes one while it lasts, and the gateway's channels watch Mimi's health all the time."""


class MimiTap(grpc.GenericRpcHandler):
    """Passes every call on as bytes, health included, so that the gateway sees of Mimi what it would see without it.

    Args:
        address: Mimi's.
    """

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address, options=[("grpc.max_reconnect_backoff_ms", 500)])
        self._server = grpc.server(ThreadPoolExecutor(THREADS), handlers=[self])
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()
        self._sounds: list[Pcm] = []

    def drain(self) -> list[Pcm]:
        """The sound of each utterance decoded to its end since the last time, 24 kHz, in order."""
        sounds, self._sounds = self._sounds, []
        return sounds

    def close(self) -> None:
        """Ends it, and the calls that run."""
        self._server.stop(grace=None).wait()
        self._channel.close()

    def service(self, handler_call_details: Any) -> Any:
        """Any method there is, as a stream of bytes in both directions: on the wire, single messages look the same."""
        method = handler_call_details.method
        pass_on = self._channel.stream_stream(method)

        def handle(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            pieces: list[Pcm] = []
            call = pass_on(requests)
            context.add_callback(partial(_end, call))  # a deadline that passes here ends it too
            try:
                for response in call:
                    if method == DECODE:
                        audio = mimi_pb2.DecodeResponse.FromString(response).audio
                        pieces.append(decode_pcm(audio.pcm, audio.format.encoding))
                    yield response
            except grpc.RpcError:
                context.set_trailing_metadata(call.trailing_metadata() or ())
                context.abort(call.code(), call.details() or "")
            if pieces:
                self._sounds.append(np.concatenate(pieces))

        return grpc.stream_stream_rpc_method_handler(handle)


def _end(call: Any) -> None:
    call.cancel()
