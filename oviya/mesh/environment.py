"""How texts in environment variables become values of settings.

pydantic-settings reads lists and objects as JSON alone and fails with a stack trace where a value is not JSON.  Here a
list of texts may also be one text, or several separated by commas, and an empty variable stands for the default.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

Shape = Literal["texts", "list", "object", "text", "other"]


def decode_values(values: Mapping[str, Any], fields: Mapping[str, FieldInfo]) -> dict[str, Any]:
    """Decodes the texts among `values`; what cannot be decoded stays as it is, for the field's type to refuse.

    Args:
        values: by the field's name.
        fields: of the settings.
    """
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
        # All others have no empty value: the default holds.
    return decoded


def shape_of(field: FieldInfo) -> Shape:
    """Says how a field's text is decoded; "text" is one that may be empty."""
    shapes = [_shape_of_type(kind) for kind in _members(field.annotation)]
    for shape in ("texts", "list", "object"):
        if shape in shapes:
            return shape
    constrained = any(
        getattr(constraint, "min_length", None) or getattr(constraint, "pattern", None) for constraint in field.metadata
    )
    return "text" if "text" in shapes and not constrained else "other"


def _members(annotation: Any) -> tuple[Any, ...]:
    """The members of a union; a type that is none is its own only member."""
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
        # Quotes come along where an env file is not read by a shell, as with `docker run --env-file`.
        return [part for part in (piece.strip().strip("'\"") for piece in text.split(",")) if part]
    if shape not in ("texts", "list", "object"):
        return text
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text
    return [value] if shape == "list" and isinstance(value, dict) else value  # one tool need not stand in a list


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
