"""What the services that these tests run read once for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest

from services.brain.listener import listener
from services.emotion.words.text_model import TextModel

load_script, load_text_model = cache(listener.load_script), cache(TextModel.load)


@pytest.fixture(scope="module", autouse=True)
def _data_is_read_once() -> Iterator[None]:
    """Gives every brain the same script and every emotion service the same text model; nothing changes either."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listener, "load_script", load_script)
        patch.setattr(TextModel, "load", load_text_model)
        yield
