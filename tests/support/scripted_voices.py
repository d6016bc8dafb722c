"""The gateway's answers about voices, as a test scripts them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from aiohttp import BodyPartReader, web
from aiohttp.typedefs import Handler, Middleware

SPEAKERS = [{"id": 0, "name": "clear"}, {"id": 4, "name": "warm"}]
TOKEN = "secret"


@dataclass
class ScriptedVoices:
    """Answers /voices.

    Attributes:
        offered: whether the gateway has voices to choose from.
        refusal: why clips are refused; None: they are taken.
        uploads: the forms that were sent.
        deleted: names and tokens of voices that were deleted.
    """

    offered: bool = True
    refusal: dict[str, Any] | None = None
    uploads: list[dict[str, bytes]] = field(default_factory=list)
    deleted: list[tuple[str, str]] = field(default_factory=list)

    def middleware(self) -> Middleware:
        """Returns what answers in place of the gateway."""

        @web.middleware
        async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not request.path.startswith("/voices"):
                return await handler(request)
            if not self.offered:
                raise web.HTTPNotFound
            match request.method:
                case "GET":
                    return web.json_response({"speakers": SPEAKERS, "keeps": True})
                case "DELETE":
                    self.deleted.append((request.path.rpartition("/")[2], request.headers["Voice-Token"]))
                    return web.json_response({})
                case _:
                    return await self._register(request)

        return answer

    async def _register(self, request: web.Request) -> web.Response:
        form: dict[str, bytes] = {}
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            assert part.name
            form[part.name] = bytes(await part.read())
        if self.refusal:
            return web.json_response({"error": self.refusal}, status=400)
        self.uploads.append(form)
        name = form["name"].decode() or "f3a9"
        voice = {"name": name, "voiceToken": TOKEN, "text": "good morning", "seconds": 3.5, "expiresInSeconds": None}
        return web.json_response(voice, status=201)
