"""Pages of an exported session."""

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
"""Bytes of the turns in one response: gRPC clients accept 4 MiB, and the summary is added."""
_PAGE_TOKEN = re.compile(r"([0-9a-f]{1,64})\.([0-9]{1,18})")


@dataclass(frozen=True)
class PageRequest:
    """The requested page: the turns after number `after` of `generation`, at most `limit`."""

    generation: str
    after: int
    limit: int


def read_page(request: conversation_pb2.ExportSessionRequest) -> PageRequest:
    """Reads which page is requested.

    Raises:
        InvalidInput: page_size is too large, or page_token is not from an earlier response.
    """
    if request.page_size > MAX_PAGE_TURNS:
        raise InvalidInput("page_size", request.page_size, f"must be at most {MAX_PAGE_TURNS}")
    generation, after = "", "0"
    if request.page_token:
        if (parts := _PAGE_TOKEN.fullmatch(request.page_token)) is None:
            raise InvalidInput("page_token", request.page_token, "must be the next_page_token of an earlier response")
        generation, after = parts.groups()
    return PageRequest(generation, int(after), request.page_size or MAX_PAGE_TURNS)


def make_page(kept: KeptSession, page_request: PageRequest) -> conversation_pb2.ExportSessionResponse:
    """Returns a page as a message.

    Args:
        kept: the session, with one turn more than the page may hold if more follow.
        page_request: the requested page.

    Raises:
        InvalidInput: the session was deleted and opened again since the previous page.
    """
    if page_request.generation and page_request.generation != kept.generation:
        raise InvalidInput("page_token", page_request.generation, "must belong to the current session",
                           hint="the session was deleted; export it again from the first page")  # fmt: skip
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
