"""The listener's data is loaded once: it is immutable, and every backend of these tests has a listener."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest

from services.brain.listener import listener
from services.brain.listener.loader import load_script


@pytest.fixture(scope="session", autouse=True)
def one_script() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listener, "load_script", functools.cache(load_script))
        yield
