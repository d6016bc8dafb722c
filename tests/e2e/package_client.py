"""A calling app: speaks through a gateway and prints what came, as JSON: `package_client.py asynchronous ADDRESS`.

It runs in an environment of its own, so it imports nothing of the tests.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import oviya
from oviya.client import Oviya, OviyaSync, Speech
from oviya.errors import InvalidInput

TEXT = "Hello there."
BAD_RATE_HZ = 7


async def talk(address: str) -> tuple[Speech, InvalidInput]:
    async with Oviya(address) as client:
        speech = await client.say(TEXT)
        try:
            await client.say(TEXT, sample_rate_hz=BAD_RATE_HZ)
        except InvalidInput as error:
            return speech, error
    raise AssertionError("a bad rate was taken")


def talk_blocking(address: str) -> tuple[Speech, InvalidInput]:
    with OviyaSync(address) as client:
        speech = client.say(TEXT)
        try:
            client.say(TEXT, sample_rate_hz=BAD_RATE_HZ)
        except InvalidInput as error:
            return speech, error
    raise AssertionError("a bad rate was taken")


def describe(speech: Speech, error: InvalidInput) -> dict[str, Any]:
    return {
        "package": oviya.__file__,
        "text": " ".join(sentence.text for sentence in speech.sentences),
        "sample_rate_hz": speech.sample_rate_hz,
        "samples": len(speech.samples),
        "peak": float(abs(speech.samples).max()),
        "error": {"type": type(error).__name__, "field": error.field, "value": error.value, "limit": error.limit},
    }


if __name__ == "__main__":
    kind, address = sys.argv[1:]
    print(json.dumps(describe(*(asyncio.run(talk(address)) if kind == "asynchronous" else talk_blocking(address)))))
