"""The decoder's process: python -m services.stt.decode.sphinx_worker DESCRIPTOR.

Reads (command, bytes) from the pipe and answers the commands "session", "partial" and "end".  To stay small, it imports
only modules of the project that depend on nothing but the standard library.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe

from pocketsphinx import Decoder, set_loglevel

from oviya.mesh.tracebacks import print_plainly

FRAME_S = 0.010
"""PocketSphinx counts time in frames of 10 ms (its setting `frate`)."""
FORK_TIMEOUT_S = 10.0
"""Longest wait for a fork.  The slowest, over a turn of 60 s without a pause, takes some 2 s."""

WordFields = tuple[str, float, float, float]
"""Text, start and end in seconds from the phrase's first sample, confidence."""


def serve(pipe: Connection) -> None:
    """Decodes until the other end closes the pipe."""
    decoder = Decoder()
    set_loglevel("FATAL")  # its remaining errors are phrases without a word, visible as an empty result
    first_cepstral_mean = decoder.get_cmn()
    in_phrase = False
    while True:
        try:
            command, payload = pipe.recv()
        except EOFError:
            return
        if command == "session":
            if in_phrase:
                decoder.end_utt()
                in_phrase = False
            # Adaptation to one voice and microphone must not affect the next.
            decoder.set_cmn(first_cepstral_mean)
            with warnings.catch_warnings():
                # Deprecated as unnecessary, but without it the noise floor of the last session stays.
                warnings.simplefilter("ignore", DeprecationWarning)
                decoder.start_stream()
            pipe.send(None)
        elif command == "begin":
            decoder.start_utt()
            in_phrase = True
        elif command == "feed":
            decoder.process_raw(payload)
        elif command == "partial":
            pipe.send(_hypothesis(decoder))
        elif command == "end":
            decoder.end_utt()
            in_phrase = False
            pipe.send(_words(decoder))


def _hypothesis(decoder: Decoder) -> list[WordFields] | None:
    """Returns the words that the phrase would have if it ended now; None if the fork that decodes them failed.

    The later passes run only at the end of a phrase, which cannot be undone, so a fork of this process ends it.
    """
    if not decoder.hyp():
        return []
    reader, writer = Pipe(duplex=False)
    try:
        child = os.fork()
    except OSError:  # out of memory or processes
        reader.close()
        writer.close()
        return None
    if child == 0:
        try:
            decoder.end_utt()
            writer.send(_words(decoder))
        finally:
            os._exit(0)
    writer.close()
    try:
        with reader:
            return reader.recv() if reader.poll(FORK_TIMEOUT_S) else None
    except (EOFError, OSError):
        return None
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)  # it has answered or has timed out
        os.waitpid(child, 0)


def _words(decoder: Decoder) -> list[WordFields]:
    """Returns the words of the phrase that has just ended, without silences and noises."""
    return [
        (
            segment.word.partition("(")[0],  # "and(2)" is the second pronunciation of "and"
            segment.start_frame * FRAME_S,
            (segment.end_frame + 1) * FRAME_S,
            min(max(float(segment.prob), 0.0), 1.0),
        )
        for segment in decoder.seg() or ()
        if not segment.word.startswith(("<", "[", "+"))  # <s>, <sil>, [NOISE], ++NOISE++
    ]


if __name__ == "__main__":
    # Ctrl-C is sent to the whole process group; the service ends its decoders itself, after its last turn.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.excepthook = print_plainly  # an exception's message may contain what somebody said
    with Connection(int(sys.argv[1])) as our_end:
        serve(our_end)
