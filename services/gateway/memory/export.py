"""The pages in which a kept session is exported."""

from __future__ import annotations

import re
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from oviya.errors import InvalidInput
from oviya.v1 import brain_pb2, conversation_pb2
from services.gateway.memory.memory import ROLES
from services.gateway.memory.store import KeptSession, KeptTurn

MAX_PAGE_TURNS = 1000
MAX_PAGE_BYTES = 1 << 20
"""Turns in one answer together: gRPC's clients take 4 MiB, and the summary comes on top."""
_PAGE_TOKEN = re.compile(r"([0-9a-f]{1,64})\.([0-9]{1,18})")


@dataclass(frozen=True)
class PageRequest:
    """Where a page begins: after turn `after` of `generation`, with at most `limit` turns."""

    generation: str
    after: int
    limit: int


def read_page(request: conversation_pb2.ExportSessionRequest) -> PageRequest:
    """Reads which page is asked for.

    Raises:
        InvalidInput: page_size is too large, or page_token is not one that an answer had.
    """
    if request.page_size > MAX_PAGE_TURNS:
        raise InvalidInput("page_size", request.page_size, f"must be at most {MAX_PAGE_TURNS}")
    generation, after = "", "0"
    if request.page_token:
        if (parts := _PAGE_TOKEN.fullmatch(request.page_token)) is None:
            raise InvalidInput("page_token", request.page_token, "must be the next_page_token of an earlier answer")
        generation, after = parts.groups()
    return PageRequest(generation, int(after), request.page_size or MAX_PAGE_TURNS)


def make_page(kept: KeptSession, page_request: PageRequest) -> conversation_pb2.ExportSessionResponse:
    """Packs a page.

    Args:
        kept: the session, with one turn more than the page may hold where more follow.
        page_request: where the page begins.

    Raises:
        InvalidInput: the session was deleted and begun again since the page before.
    """
    if page_request.generation and page_request.generation != kept.generation:
        raise InvalidInput("page_token", page_request.generation, "must belong to the session as it is now",
                           hint="it was deleted meanwhile; export it again from the first page")  # fmt: skip
    page = conversation_pb2.ExportSessionResponse(summary=kept.summary)
    size = 0
    for turn in kept.turns[: page_request.limit]:
        packed = _pack(turn)
        size += packed.ByteSize()
        if page.turns and size > MAX_PAGE_BYTES:
            break
        page.turns.append(packed)
    if 0 < len(page.turns) < len(kept.turns):
        page.next_page_token = f"{kept.generation}.{kept.turns[len(page.turns) - 1].number}"
    return page


def _pack(kept: KeptTurn) -> conversation_pb2.KeptTurn:
    at = Timestamp()
    at.FromNanoseconds(round(kept.at * 1e9))
    return conversation_pb2.KeptTurn(at=at, turn=brain_pb2.Turn(role=ROLES[kept.role], text=kept.text))
