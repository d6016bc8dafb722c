"""The recognizer and the voice detector that the tests of sessions share."""

from __future__ import annotations

import pytest

from services.stt.endpoint.smart_turn import SmartTurn
from services.stt.endpoint.vad import SileroVad
from services.stt.engine.session import Session
from tests.support.stt_recognizers import whisper
from tests.support.stt_session import LIMITS, InlineSession


@pytest.fixture(scope="session")
def recognizer():
    return whisper()


@pytest.fixture(scope="session")
def vad():
    return SileroVad()


@pytest.fixture(scope="session")
def smart_turn():
    return SmartTurn()


@pytest.fixture
def open_session(recognizer, vad, smart_turn):
    """Opens a session whose decodes take no time."""

    def open_session(rate_hz=16_000, limits=LIMITS, recognizer=recognizer):
        return InlineSession(recognizer, vad.stream(), smart_turn, rate_hz, limits)

    return open_session


@pytest.fixture
def open_waiting_session(vad, smart_turn):
    """Opens a session that waits for the given decodes."""

    def open_waiting_session(decodes, limits=LIMITS):
        return Session(vad.stream(), smart_turn, 16_000, limits, decodes)

    return open_waiting_session
