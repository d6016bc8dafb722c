"""One listener for the session: it is stateless."""

from __future__ import annotations

import pytest

from services.brain.listener import Listener


@pytest.fixture(scope="session")
def listener() -> Listener:
    return Listener()
