"""Settings that must fit together."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from services.stt.settings import SttSettings


def test_connections_outlive_the_longest_session():
    with pytest.raises(ValidationError, match="STT_MAX_CONNECTION_AGE_GRACE_S"):
        SttSettings(max_session_s=8000.0)
    settings = SttSettings(max_session_s=8000.0, max_connection_age_grace_s=8000.0)
    assert settings.max_connection_age_grace_s >= settings.max_session_s


def test_silences_are_in_ascending_order():
    with pytest.raises(ValidationError, match="STT_END_SILENCE_MIN_S"):
        SttSettings(end_silence_min_s=1.0, end_silence_max_s=0.9)
