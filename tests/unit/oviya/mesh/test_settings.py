"""Settings that people type: a refused one is one line with its name, the form expected and an example."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from oviya.mesh.refusals import describe_form, describe_refusals, example_of
from oviya.mesh.service import read_settings
from oviya.mesh.settings import ServiceSettings
from services.brain.settings import BrainSettings
from services.csm.settings import CsmSettings
from services.emotion.settings import EmotionSettings
from services.gateway.settings import GatewaySettings
from services.mimi.settings import MimiSettings
from services.stt.settings import SttSettings

SETTINGS = [BrainSettings, CsmSettings, EmotionSettings, GatewaySettings, MimiSettings, SttSettings]
SECRET = "hunter2swordfish"
GARBAGE = [
    "garbage",
    "-999999999999",
    "1e999",
    "nan",
    "[",
    "{",
    "[1, {}]",
    '{"a": [}',
    "[" * 5000,
    f"https://user:{SECRET}@host:70000/x?y",
    f'[{{"name": "a b", "headers": {{"Authorization": "{SECRET}"}}}}]',
    f'{{"{SECRET}": {{"x": "{SECRET}"}}}}',
    "a,b\nc",
    "\ud83d\ude00" * 3,
]
FIELDS = [
    pytest.param(settings, field, id=f"{settings.model_config['env_prefix']}{field.upper()}")
    for settings in SETTINGS
    for field in settings.model_fields
]


def variable_of(settings: type[ServiceSettings], field: str) -> str:
    return f"{settings.model_config.get('env_prefix', '')}{field}".upper()


def refusals(settings: type[ServiceSettings]) -> list[str]:
    try:
        settings()
    except ValidationError as error:
        return describe_refusals(error, settings)
    return []


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith(tuple(str(settings.model_config.get("env_prefix")) for settings in SETTINGS)):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(("settings", "field"), FIELDS)
def test_garbage_is_refused_in_one_line_with_name_form_and_example(
    settings: type[ServiceSettings], field: str, monkeypatch: pytest.MonkeyPatch
):
    variable = variable_of(settings, field)
    for garbage in GARBAGE:
        monkeypatch.setenv(variable, garbage.encode("utf-8", "surrogatepass").decode("utf-8", "replace"))
        for line in refusals(settings):
            assert "\n" not in line
            assert SECRET not in line
            if line.startswith("settings refused"):  # fields that must fit together: the message names them
                assert variable in line
            else:
                assert re.match(rf"setting {variable}\b", line), line
            assert re.search(rf"expected .+, e\.g\. {variable}=\S|e\.g\. .*{variable}=\S", line), line


@pytest.mark.parametrize(
    ("settings", "field"),
    [each for each in FIELDS if each.id != "BRAIN_TOOLS_FILE"],  # it must exist
)
def test_every_example_is_accepted(settings: type[ServiceSettings], field: str, monkeypatch: pytest.MonkeyPatch):
    schema = settings.model_json_schema()["properties"][field]
    assert describe_form(schema)
    if (settings, field) == (GatewaySettings, "udp_port_max"):
        monkeypatch.setenv("GATEWAY_UDP_PORT_MIN", "50100")
    if (settings, field) == (GatewaySettings, "udp_port_min"):
        monkeypatch.setenv("GATEWAY_UDP_PORT_MAX", "50119")
    monkeypatch.setenv(variable_of(settings, field), example_of(schema))
    assert refusals(settings) == []


@pytest.mark.parametrize(("settings", "field"), FIELDS)
def test_an_empty_variable_is_the_default_or_empty(
    settings: type[ServiceSettings], field: str, monkeypatch: pytest.MonkeyPatch
):
    default = getattr(settings(), field)
    for empty in ("", "  "):
        monkeypatch.setenv(variable_of(settings, field), empty)
        value = getattr(settings(), field)
        value = value.get_secret_value() if isinstance(value, SecretStr) else value
        assert value in ("", []) or value == default


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://a.example", ["https://a.example"]),
        ("https://a.example, https://b.example,", ["https://a.example", "https://b.example"]),
        ('["https://a.example", "https://b.example"]', ["https://a.example", "https://b.example"]),
        ('"https://a.example"', ["https://a.example"]),
        ("'https://a.example','https://b.example'", ["https://a.example", "https://b.example"]),
        ("", []),
        ("[]", []),
    ],
)
def test_a_list_of_texts_is_one_text_several_with_commas_or_json(
    text: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GATEWAY_HTTP_ORIGINS", text)
    assert GatewaySettings().http_origins == expected


def test_a_single_ice_server_is_accepted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GATEWAY_ICE_SERVERS", "stun:host:3478")
    assert GatewaySettings().ice_servers == ["stun:host:3478"]


def test_one_tool_need_not_stand_in_a_list(monkeypatch: pytest.MonkeyPatch):
    tool: dict[str, Any] = {"name": "weather", "description": "Tells the weather.", "url": "http://localhost:1/w"}
    monkeypatch.setenv("BRAIN_TOOLS", json.dumps(tool))
    assert [each.name for each in BrainSettings().tools] == ["weather"]


def test_a_tools_file_that_is_refused_shows_no_header(tmp_path: Any, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "tools.json"
    path.write_text(json.dumps([{"name": "x", "url": "no url", "headers": {"Authorization": SECRET}}]))
    monkeypatch.setenv("BRAIN_TOOLS_FILE", str(path))
    (line,) = refusals(BrainSettings)
    assert line.startswith("setting BRAIN_TOOLS_FILE is refused")
    assert SECRET not in line
    assert "[0].description" in line


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GATEWAY_ICE_SERVERS", f"turn:user:{SECRET}@host"),
        ("GATEWAY_ICE_SERVERS", f"turn:{SECRET}"),
        ("GATEWAY_ICE_BIND_ADDRESSES", SECRET),
        ("GATEWAY_ANNOUNCED_ADDRESS", f"10.0.0.1,{SECRET}"),
        ("BRAIN_OLLAMA_URL", f"ftp://user:{SECRET}@host"),
        ("BRAIN_OLLAMA_OPTIONS", f'{{"{SECRET}": {{}}}}'),
    ],
)
def test_a_value_that_may_hold_a_secret_is_not_repeated(variable: str, value: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(variable, value)
    settings = GatewaySettings if variable.startswith("GATEWAY") else BrainSettings
    (line,) = refusals(settings)
    assert line.startswith(f"setting {variable} is refused")
    assert SECRET not in line


def test_a_number_is_repeated(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STT_PORT", "70000")
    assert refusals(SttSettings) == [
        "setting STT_PORT=70000 is refused: expected a whole number, 0 to 65535, e.g. STT_PORT=50051"
    ]


def test_a_setting_that_depends_on_a_refused_one_is_not_refused_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GATEWAY_UDP_PORT_MIN", "many")
    monkeypatch.setenv("GATEWAY_UDP_PORT_MAX", "50119")
    (line,) = refusals(GatewaySettings)
    assert line.startswith("setting GATEWAY_UDP_PORT_MIN")


def test_several_refused_settings_are_one_line_each_and_end_the_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("STT_PORT", "x")
    monkeypatch.setenv("STT_SESSIONS", "0")
    with pytest.raises(SystemExit) as ended:
        read_settings(SttSettings)
    assert ended.value.code == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("=")[0] for line in lines] == ["setting STT_PORT", "setting STT_SESSIONS"]


def test_a_service_with_a_refused_setting_prints_no_traceback():
    done = subprocess.run(
        [sys.executable, "-m", "services.brain"],
        env={"PATH": "", "BRAIN_TOOLS": f"nonsense {SECRET}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("setting BRAIN_TOOLS is refused: expected a JSON list of objects, e.g. BRAIN_TOOLS=[")
    assert SECRET not in done.stderr
