"""Errors of the Ollama server as Oviya's error types."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import httpx
import ollama
import pydantic

from oviya.errors import Busy, NotReady, OviyaError, Unavailable

SERVICE = "ollama"
BUSY_RETRY_S = 2.0
"""Retry delay for a full server: it finishes one of its queued requests in about that time."""
_MODEL_MISSING = re.compile(r"\bmodel\b.*\bnot found\b|\bpull\b", re.IGNORECASE | re.DOTALL)
"""Ollama's message for a missing model; any other 404 is not about the model."""
_API_PATH = re.compile(r"/(?:v1|api)(?:/.*)?$")
DEFAULT_URL = "http://localhost:11434"
INVALID_JSON = (json.JSONDecodeError, UnicodeDecodeError)
UNEXPECTED_SHAPE = (pydantic.ValidationError, TypeError, AttributeError)
"""Errors of the `ollama` package for JSON that is not an answer of Ollama."""


class ModelMissing(NotReady):
    """The server does not have the model."""


class WrongServer(OviyaError):
    """The server at the configured address does not have Ollama's API."""


class BadStream(OviyaError):
    """The response is not a valid answer: invalid JSON, an unexpected shape, an error, or an incomplete stream."""


@contextmanager
def typed_errors(url: str, model: str) -> Iterator[None]:
    """Translates errors of the `ollama` package and of its HTTP client; `url` must not contain secrets."""
    try:
        yield
    except ollama.ResponseError as error:
        raise _typed(error, url, model) from error
    except httpx.InvalidURL as error:
        raise wrong_server(url, "the address is not valid") from error
    except (httpx.ConnectError, httpx.ConnectTimeout, ConnectionError) as error:
        raise Unavailable(SERVICE, f"no server answers at {url}", hint="start it, or set BRAIN_OLLAMA_URL") from error
    except httpx.HTTPError as error:
        raise BadStream(f"ollama: the connection broke ({type(error).__name__})") from error
    except INVALID_JSON as error:
        raise BadStream("ollama: the server sent invalid JSON") from error
    except UNEXPECTED_SHAPE as error:
        raise BadStream("ollama: the server sent JSON of an unexpected shape") from error


def _typed(error: ollama.ResponseError, url: str, model: str) -> OviyaError:
    message = str(error.error)
    is_page = message.lstrip().startswith("<")  # HTML, e.g. from a proxy
    if error.status_code == HTTPStatus.NOT_FOUND and _MODEL_MISSING.search(message) and not is_page:
        return ModelMissing(
            f"ollama: the model {model} is not there",
            hint=f"`ollama pull {model}`, or set BRAIN_OLLAMA_PULL=true",
        )
    if error.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
        return wrong_server(url, f"it answers with HTTP {error.status_code}")
    if error.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
        return Busy(f"ollama: {message[:200]}", retry_after_s=BUSY_RETRY_S)
    if is_page:
        return BadStream(
            f"ollama: the server at {url} is not Ollama (HTTP {error.status_code})", hint="check BRAIN_OLLAMA_URL"
        )
    return BadStream(f"ollama: {message[:200]}")


def wrong_server(url: str, reason: str) -> WrongServer:
    """The error for an address that is not Ollama's; the hint suggests one."""
    base = _API_PATH.sub("", url.rstrip("/"))
    has_path = base != url.rstrip("/")
    hint = f"give the server's own address without a path, e.g. {base if has_path else DEFAULT_URL}"
    if has_path:
        hint = f"this is the address of the OpenAI-compatible or raw API; {hint}"
    return WrongServer(f"BRAIN_OLLAMA_URL={url} is not the address of an Ollama server: {reason}", hint=hint)
