"""The decoder and the voice detector that the tests of sessions share."""

from __future__ import annotations

import pytest

from services.stt.decode.sphinx import SphinxRecognizer
from services.stt.endpoint.vad import SileroVad
from services.stt.frontend.frontend import FrontEnd
from tests.support.stt_session import LIMITS, DecodingSession


@pytest.fixture(scope="module")
def recognizer():
    recognizer = SphinxRecognizer()
    yield recognizer
    recognizer.close()


@pytest.fixture(scope="module")
def vad():
    return SileroVad()


@pytest.fixture
def open_session(recognizer, vad):
    def open_session(rate_hz=16_000, limits=LIMITS, make_suppressor=None):
        return DecodingSession(recognizer, vad.stream(), FrontEnd(make_suppressor), rate_hz, limits)

    return open_session
