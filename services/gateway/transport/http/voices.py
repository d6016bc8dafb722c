"""Voices over HTTP: the checkpoint's speakers, and clips of callers' own.

GET /voices                the speakers, and whether voices are kept
POST /voices               registers the voice of a clip: a form with a file `audio`, and optionally `text`, `name`
                           (to keep it) and `consent`
DELETE /voices/{name}      forgets a voice; its token is in the header Voice-Token
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import BodyPartReader, hdrs, web

from oviya.audio.files import SoundFile
from oviya.errors import InvalidInput
from services.gateway.client_address import ClientAddresses
from services.gateway.own_voice.clip import AUDIO_FIELD, MAX_CLIP_TEXT_CHARS, TEXT_FIELD, Clip
from services.gateway.own_voice.own_voices import CONSENT_FIELD, KEEP_FIELD, OwnVoices
from services.gateway.own_voice.registered_voice import TEMPORARY_S
from services.gateway.quota import Quota
from services.gateway.settings import GatewaySettings
from services.gateway.transport.http.errors import RequestTooSlow
from services.gateway.transport.http.security import check_token
from services.gateway.upstream.readiness import Readiness

TOKEN_HEADER = "Voice-Token"
MAX_DECODED_S = 120.0
"""Longest sound that is decoded; one of more than 30 s is then refused."""
MAX_FIELD_BYTES = 4 * MAX_CLIP_TEXT_CHARS
UPLOADS_AT_ONCE = 8
"""Requests whose body is read, decoded and checked at once; each holds up to `max_clip_bytes`, and 20 MB decoded."""
_FORM_FIELDS = {AUDIO_FIELD: "audio", TEXT_FIELD: "text", KEEP_FIELD: "name", CONSENT_FIELD: "consent"}
"""The form's field of each field of SetVoice."""
_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off", "")


class VoiceRoutes:
    """The handlers of /voices.

    Attributes:
        uploads: the running uploads.
    """

    def __init__(self, voices: OwnVoices, readiness: Readiness, settings: GatewaySettings) -> None:
        self._voices, self._readiness, self._settings = voices, readiness, settings
        self._token = settings.http_token.get_secret_value()
        self._clients = ClientAddresses(settings.trusted_proxies)
        self.uploads = Quota("uploads", UPLOADS_AT_ONCE, settings.max_sessions_per_client)

    def add_to(self, app: web.Application) -> None:
        """Adds the routes to an application."""
        app.router.add_get("/voices", self._list)
        app.router.add_post("/voices", self._register)
        app.router.add_delete("/voices/{name}", self._delete)

    async def _list(self, request: web.Request) -> web.Response:
        check_token(request, self._token)
        speakers = [{"id": id, "name": name} for id, name in self._readiness.speaker_names.items()]
        return _json({"speakers": speakers, "keeps": self._voices.keeps})

    async def _register(self, request: web.Request) -> web.Response:
        check_token(request, self._token)
        client = self._clients.name(request.remote or "", request.headers.getall(hdrs.X_FORWARDED_FOR, []))
        with self.uploads.hold(client), _form_fields():
            form = await self._read_form(request)
            if "audio" not in form:
                raise InvalidInput("audio", "", "must be a sound file", hint="curl -F audio=@clip.wav")
            clip = await asyncio.to_thread(_decode, form["audio"])
            receipt = await self._voices.register(
                clip,
                _text(form, "text"),
                keep_as=_text(form, "name"),
                consent=_flag(form, "consent"),
                client=client,
            )
        return _json(
            {
                "name": receipt.voice.name,
                "voiceToken": receipt.token,
                "text": receipt.voice.text,
                "seconds": round(receipt.voice.duration_s, 2),
                "expiresInSeconds": None if receipt.kept else TEMPORARY_S,
            },
            status=201,
        )

    async def _delete(self, request: web.Request) -> web.Response:
        check_token(request, self._token)
        await self._voices.delete(request.match_info["name"], request.headers.get(TOKEN_HEADER, ""))
        return _json({"deleted": request.match_info["name"]})

    async def _read_form(self, request: web.Request) -> dict[str, bytes]:
        """Reads a form within the limits on its size and time."""
        if request.content_type != "multipart/form-data":
            raise InvalidInput(
                "body", request.content_type, "must be multipart/form-data", hint="curl -F audio=@clip.wav"
            )
        within_s = self._settings.http_body_s
        form: dict[str, bytes] = {}
        try:
            async with asyncio.timeout(within_s):
                async for part in await request.multipart():
                    name = part.name if isinstance(part, BodyPartReader) else None
                    if not isinstance(part, BodyPartReader) or name not in ("audio", "text", "name", "consent"):
                        raise InvalidInput("body", name or "", "may have the fields audio, text, name and consent")
                    if name in form:
                        raise InvalidInput(name, "a second one", "may be sent once")
                    limit = self._settings.max_clip_bytes if name == "audio" else MAX_FIELD_BYTES
                    form[name] = await _read_part(part, name, limit)
        except TimeoutError as error:
            raise RequestTooSlow(f"the body did not come within {within_s:g} s") from error
        except ValueError as error:  # no boundary, or broken headers of a part
            raise InvalidInput("body", "a broken form", "must be multipart/form-data") from error
        return form


async def _read_part(part: BodyPartReader, name: str, limit: int) -> bytes:
    content = bytearray()
    while chunk := await part.read_chunk(1 << 16):
        content += chunk
        if len(content) > limit:
            raise InvalidInput(name, f"more than {limit} bytes", f"at most {limit} bytes")
    return bytes(content)


def _decode(audio: bytes) -> Clip:
    with SoundFile(audio, name="the clip", max_duration_s=MAX_DECODED_S, field="audio") as file:
        samples = file.read()
        return Clip(samples, file.sample_rate_hz)


def _text(form: dict[str, bytes], name: str) -> str:
    try:
        return form.get(name, b"").decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(name, "other bytes", "must be UTF-8") from error


def _flag(form: dict[str, bytes], name: str) -> bool:
    value = _text(form, name).strip().lower()
    if value not in _TRUE + _FALSE:
        raise InvalidInput(name, value, "must be true or false")
    return value in _TRUE


@contextmanager
def _form_fields() -> Iterator[None]:
    """Names the form's fields in errors in place of those of SetVoice."""
    try:
        yield
    except InvalidInput as error:
        field = next((form for path, form in _FORM_FIELDS.items() if error.field.startswith(path)), None)
        if field is None:
            raise
        raise InvalidInput(field, error.value, error.limit, hint=error.hint, suggestions=error.suggestions) from error


def _json(content: dict[str, object], status: int = 200) -> web.Response:
    return web.json_response(content, status=status, headers={"Cache-Control": "no-store"})
