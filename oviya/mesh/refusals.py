"""Error messages for invalid settings: one line each, with the variable, the expected form and an example.

A value is shown only if its type rules out a secret.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from oviya.mesh.redaction import hide_url_passwords

Schema = Mapping[str, Any]

_PLAIN_VALUE = re.compile(r"[\w.+-]{1,32}")
"""Form of a number, a flag or a choice that may be shown; no URL matches it."""
_PART = re.compile(r"[^\s,;\"'\[\]{}:/@?=&|]{3,}")
"""Parts of a value that would disclose it."""


def describe_refusals(error: ValidationError, settings_type: type[BaseModel]) -> list[str]:
    """Describes each invalid setting, which `settings_type` refused, in one line, in the order of the fields."""
    schema = settings_type.model_json_schema()
    prefix = str(settings_type.model_config.get("env_prefix", ""))
    first: dict[str, Any] = {}
    for fault in error.errors(include_url=False):
        first.setdefault(str(fault["loc"][0]) if fault["loc"] else "", fault)
    return [_describe(name, fault, schema, prefix) for name, fault in first.items()]


def variable_name(field: str, prefix: str) -> str:
    """Returns the environment variable of a field."""
    return f"{prefix}{field}".upper()


def describe_form(schema: Schema) -> str:
    """Describes the values of a field from its JSON schema, e.g. "a whole number, 0 to 65535"."""
    if "anyOf" in schema:
        members = [describe_form(member) for member in schema["anyOf"] if member.get("type") != "null"]
        automatic = ["auto"] if "auto" in schema.get("examples", ()) else []  # see oviya.mesh.settings.AutoCount
        return " or ".join(dict.fromkeys([*members, *automatic]))
    if choices := _choices(schema):
        return f"one of {', '.join(choices)}"
    of_texts = cast("Schema", schema.get("items", {})).get("type") == "string"
    words = {
        "boolean": "true or false",
        "integer": f"a whole number{_range(schema)}",
        "number": f"a number{_range(schema)}",
        "array": "a list, with commas or as JSON" if of_texts else "a JSON list of objects",
        "object": "a JSON object",
    }
    path = schema.get("format") in ("path", "file-path")
    return words.get(schema.get("type", ""), "a path" if path else f"a text{_text_limits(schema)}")


def example_of(schema: Schema) -> str:
    """Returns an example value: the declared one, else the default, else one of the type."""
    for value in (*schema.get("examples", ()), schema.get("default")):
        if value not in (None, "", [], {}):
            return _as_text(value)
    if "anyOf" in schema:
        return example_of(schema["anyOf"][0])
    if choices := _choices(schema):
        return choices[0]
    lowest = str(schema.get("minimum", 1))
    of_type = {"boolean": "true", "integer": lowest, "number": lowest, "array": "one,two", "object": "{}"}
    return of_type.get(schema.get("type", ""), "text")


def _choices(schema: Schema) -> list[str]:
    values: list[object] = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
    return [str(value) for value in values]


def _describe(field: str, fault: Mapping[str, Any], schema: Schema, prefix: str) -> str:
    message = str(fault["msg"]).removeprefix("Value error, ")
    if not field:  # an error of several fields together; the message names them
        return f"settings refused: {hide_url_passwords(_one_line(message))}"
    variable, form = variable_name(field, prefix), cast("Schema", schema["properties"][field])
    expected, example = describe_form(form), f"{variable}={example_of(form)}"
    given = next((value for name, value in os.environ.items() if name.upper() == variable), str(fault["input"]))
    reason = ""
    if fault["type"] == "value_error" or len(fault["loc"]) > 1:  # the form alone does not explain the error
        reason = _without_value(message, given, f"{expected} {example}")
        reason = f"{_path(fault['loc'][1:], schema)}{reason}; " if reason else ""
    shown = f"={given.strip()}" if _may_be_shown(form, given) else ""
    return f"setting {variable}{shown} is refused: {reason}expected {expected}, e.g. {example}"


def _may_be_shown(form: Schema, given: str) -> bool:
    kinds = cast("Iterable[Schema]", form.get("anyOf", [form]))
    plain = all(
        "enum" in kind or "const" in kind or kind.get("type") in ("integer", "number", "boolean", "null")
        for kind in kinds
    )
    return plain and bool(_PLAIN_VALUE.fullmatch(given.strip()))


def _without_value(message: str, given: str, known: str) -> str:
    """Returns `message` in one line, or "" if it contains a part of the value that is not in `known`."""
    message = _one_line(message)
    for item in sorted(re.split(r"[,\s\"\[\]]+", given), key=len, reverse=True):
        if len(item) > 2 and item not in known:
            message = message.replace(f"'{item}'", "the value")
    # Numbers in a message are usually limits, but a secret may consist of digits: they are compared as well.
    leaks = any(part in message and part not in known for part in _PART.findall(given))
    return "" if leaks else message


def _path(loc: Iterable[Any], schema: Schema) -> str:
    """Where in a list or an object the fault is, e.g. "[0].url: "; names that the schema does not know are left out."""
    known = {name for part in schema.get("$defs", {}).values() for name in part.get("properties", {})}
    shown = [
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc if isinstance(part, int) or part in known
    ]
    return f"{''.join(shown)}: " if shown else ""


def _range(schema: Schema) -> str:
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f", {low} to {high}"
    limits = [
        f"{words} {limit}"
        for words, limit in (("at least", low), ("more than", above), ("at most", high), ("less than", below))
        if limit is not None
    ]
    return f", {' and '.join(limits)}" if limits else ""


def _text_limits(schema: Schema) -> str:
    limits = [
        words.format(schema[key])
        for key, words in (
            ("minLength", "at least {} characters"),
            ("maxLength", "at most {} characters"),
            ("pattern", "that matches {}"),
        )
        if key in schema
    ]
    return f" of {' and '.join(limits)}".replace(" of that", " that") if limits else ""


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        items = cast("list[Any]", value)
        if all(isinstance(item, str) and "," not in item for item in items):
            return ",".join(items)
    return json.dumps(value) if isinstance(value, list | dict) else str(value)


def _one_line(text: str) -> str:
    return " ".join(text.split())
