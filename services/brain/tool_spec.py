"""Declaration of a tool in the settings."""

from __future__ import annotations

import re
from typing import Any, Literal

import httpx
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""A token of RFC 9110, section 5.6.2."""
_COMBINING = ("allOf", "anyOf", "oneOf", "$ref", "$dynamicRef", "if", "dependentSchemas", "patternProperties")
"""Keywords besides "properties" that may declare arguments."""


class ToolSpec(BaseModel):
    """A function that the model may call over HTTP.

    The address and the headers may contain secrets and appear neither in errors nor in the representation.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")
    """Name for the model."""
    description: str = Field(min_length=1, max_length=1024)
    """When to call it and what it returns, for the model."""
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})
    """JSON schema of the arguments, of type "object".  Other arguments are refused unless "additionalProperties" allows
    them."""
    url: str = Field(repr=False)
    """Its http:// or https:// address in ASCII.  Redirects are not followed.  A private address is called directly, a
    public one through the proxies that the environment names."""
    method: Literal["POST", "GET"] = "POST"
    """POST sends the arguments as a JSON body, GET as query parameters, added to those of the address."""
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    """Headers of the request, e.g. Authorization."""
    timeout_s: float = Field(default=5.0, gt=0, le=60)
    """Longest time in seconds for an answer."""
    max_bytes: int = Field(default=16_384, ge=1, le=1 << 20)
    """Largest answer in bytes."""
    filler: str = Field(default="", max_length=200)
    """Spoken while this tool is slow; empty: BRAIN_TOOL_FILLERS."""

    @field_validator("parameters")
    @classmethod
    def _check_schema(cls, schema: dict[str, Any]) -> dict[str, Any]:
        if schema.get("type") != "object":
            raise ValueError('must be a JSON schema of type "object"')
        import jsonschema

        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as error:
            raise ValueError(f"is not a valid JSON schema: {error.message}") from error
        return schema

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        form = 'must be an http:// or https:// address in ASCII, e.g. "https://example.com/weather"'
        if not url.isascii() or any(char.isspace() for char in url):
            raise ValueError(f"{form}; write other characters percent-encoded, or the host in Punycode")
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise ValueError(form) from error
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ValueError(form)
        return url

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, value in headers.items():
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError("a header's name must be letters, digits and hyphens")
            secret = value.get_secret_value()
            if not secret.isascii() or not (secret.isprintable() or not secret):
                raise ValueError(f"the value of {name} must be printable ASCII")
        return headers

    def closed_parameters(self) -> dict[str, Any]:
        """The schema of the arguments; unless it says otherwise, arguments that it does not declare are not allowed."""
        schema = self.parameters
        if "additionalProperties" in schema or "unevaluatedProperties" in schema:
            return schema
        keyword = "unevaluatedProperties" if any(word in schema for word in _COMBINING) else "additionalProperties"
        return {**schema, keyword: False}

    def definition(self) -> dict[str, Any]:
        """The tool, as /api/chat expects it."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}
