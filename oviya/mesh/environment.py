"""Decodes environment variables into values of settings.

pydantic-settings accepts lists and objects only as JSON, and fails with a stack trace if a value is not JSON.  Here a
list of strings may also be comma-separated, and an empty variable means the default.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

Shape = Literal["texts", "list", "object", "text", "other"]


def decode_values(values: Mapping[str, Any], fields: Mapping[str, FieldInfo]) -> dict[str, Any]:
    """Decodes the strings in `values`, by field name.  Those that cannot be decoded are kept: the type refuses them."""
    decoded: dict[str, Any] = {}
    for name, value in values.items():
        field = fields.get(name)
        if field is None or not isinstance(value, str):
            decoded[name] = value
            continue
        shape = shape_of(field)
        if value.strip():
            decoded[name] = _decode(value.strip(), shape)
        elif shape in ("texts", "list"):
            decoded[name] = []
        elif shape == "text":
            decoded[name] = ""
        # Other types have no empty value: the default applies.
    return decoded


def shape_of(field: FieldInfo) -> Shape:
    """Returns how a field's string is decoded; "text": a string that may be empty."""
    shapes = [_shape_of_type(kind) for kind in _members(field.annotation)]
    for shape in ("texts", "list", "object"):
        if shape in shapes:
            return shape
    constrained = any(
        getattr(constraint, "min_length", None) or getattr(constraint, "pattern", None) for constraint in field.metadata
    )
    return "text" if "text" in shapes and not constrained else "other"


def _members(annotation: Any) -> tuple[Any, ...]:
    """Returns the members of a union, or the type itself."""
    origin = get_origin(annotation)
    if origin is None or origin in (list, dict, Literal):
        return (annotation,)
    return tuple(member for each in get_args(annotation) for member in _members(each))


def _shape_of_type(kind: Any) -> Shape:
    origin = get_origin(kind) or kind
    if origin is list:
        return "texts" if get_args(kind) == (str,) else "list"
    if origin is dict:
        return "object"
    return "text" if isinstance(kind, type) and issubclass(kind, str | SecretStr) else "other"


def _decode(text: str, shape: Shape) -> Any:
    if shape == "texts" and text[0] not in "[{":
        # Quotes remain if no shell reads the env file, as with `docker run --env-file`.
        return [part for part in (item.strip().strip("'\"") for item in text.split(",")) if part]
    if shape not in ("texts", "list", "object"):
        return text
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text
    return [value] if shape == "list" and isinstance(value, dict) else value  # one object is a list of one


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
