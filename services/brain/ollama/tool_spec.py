"""What the settings say of a function that the model may call."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class ToolSpec(BaseModel):
    """One function and where it is served."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")
    """Name that the model calls it by."""
    description: str = Field(min_length=1, max_length=1024)
    """When to call it and what it answers, for the model."""
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})
    """JSON schema of its arguments, of type "object"."""
    url: str = Field(pattern=r"^https?://")
    """Where it is served; redirects are not followed."""
    method: Literal["POST", "GET"] = "POST"
    """POST sends the arguments as a JSON body, GET as a query."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Headers of the request, e.g. an Authorization."""
    timeout_s: float = Field(default=5.0, gt=0, le=60)
    """Longest time in seconds for an answer."""
    max_bytes: int = Field(default=16_384, ge=1, le=1 << 20)
    """Largest answer in bytes."""
    filler: str = Field(default="", max_length=200)
    """Said while this tool is slow; empty: BRAIN_TOOL_FILLERS."""

    @field_validator("parameters")
    @classmethod
    def _check_schema(cls, schema: dict[str, Any]) -> dict[str, Any]:
        if schema.get("type") != "object":
            raise ValueError('must be a JSON schema of type "object"')
        import jsonschema

        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as error:
            raise ValueError(f"is no JSON schema: {error.message}") from error
        return schema

    def offer(self) -> dict[str, Any]:
        """The function as /api/chat takes it."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}
