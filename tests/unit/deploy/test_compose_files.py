"""compose.yaml and its siblings, read as files: what a container may do, see and be reached by."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from deploy.env_files import FOLDER, SERVICES, env_file_text, settings_class
from deploy.project import ROOT

BASE = yaml.safe_load((ROOT / "compose.yaml").read_text())
OVERLAYS = sorted(ROOT.glob("compose.*.yaml"))
EXAMPLE = (ROOT / ".env.example").read_text()


def own(service: str) -> dict[str, Any]:
    return BASE["services"][service]


@pytest.mark.parametrize("service", SERVICES)
def test_the_names_of_a_services_settings_are_complete(service):
    """Fails where a setting was added and `make env-files` was not run."""
    assert (ROOT / FOLDER / f"{service}.env").read_text() == env_file_text(service), "run `make env-files`"


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_gets_no_other_services_settings(service):
    prefix = settings_class(service).model_config.get("env_prefix", "")
    assert own(service)["env_file"] == [f"{FOLDER}/{service}.env"]
    names = [line for line in (ROOT / FOLDER / f"{service}.env").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(rf"{prefix}\w+", name) for name in names)
    fixed = own(service)["environment"]
    assert all(name.startswith((prefix, "OVIYA_")) for name in fixed)


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_is_confined(service):
    container = own(service)
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert container["pids_limit"] > 0
    assert re.fullmatch(r"\$\{OVIYA_\w+_MEMORY:-\d+g\}", container["mem_limit"])
    assert container["restart"] == "unless-stopped"
    assert "privileged" not in container


def test_only_the_gateway_is_published_and_grpc_apart_from_the_page():
    published = {name: service["ports"] for name, service in BASE["services"].items() if "ports" in service}
    assert set(published) == {"gateway"}
    page, grpc, media = published["gateway"]
    assert page.startswith("${OVIYA_PUBLISH_ADDRESS:-127.0.0.1}:")
    assert grpc.startswith("${OVIYA_GRPC_PUBLISH:-127.0.0.1}:")
    assert "OVIYA_PUBLISH_ADDRESS" not in grpc
    assert media.startswith("${OVIYA_PUBLISH_ADDRESS:-127.0.0.1}:")


def test_a_session_finds_a_udp_port():
    env = own("gateway")["environment"]
    first, last, sessions = (
        int(re.fullmatch(r"\$\{\w+:-(\d+)\}", env[name]).group(1))  # pyright: ignore[reportOptionalMemberAccess]
        for name in ("GATEWAY_UDP_PORT_MIN", "GATEWAY_UDP_PORT_MAX", "GATEWAY_MAX_SESSIONS")
    )
    assert last - first + 1 >= sessions >= 64
    assert env["GATEWAY_ICE_BIND_ADDRESSES"] == '["0.0.0.0"]'  # one port a session, however many networks there are


def test_the_mesh_has_no_way_out_but_through_the_gateway_and_the_brain():
    assert BASE["networks"]["back"] == {"internal": True}
    for service in SERVICES:
        wanted = {"gateway": ["front", "back"], "brain": ["back", "model"]}.get(service, ["back"])
        assert own(service)["networks"] == wanted


def test_ollama_is_pinned_confined_and_reached_by_the_brain_alone():
    services = yaml.safe_load((ROOT / "compose.ollama.yaml").read_text())["services"]
    ollama = services["ollama"]
    assert re.search(r":-ollama/ollama:\d+\.\d+\.\d+\}$", ollama["image"])
    assert ollama["networks"] == ["model"]
    assert [name for name in SERVICES if "model" in own(name)["networks"]] == ["brain"]
    assert ollama["user"] == "10001:10001"
    assert ollama["cap_drop"] == ["ALL"]
    assert ollama["read_only"] is True
    assert ollama["pids_limit"] > 0
    assert "mem_limit" in ollama
    assert "ports" not in ollama


def test_secrets_go_only_where_they_are_needed():
    for path in [ROOT / "compose.yaml", *OVERLAYS]:
        for name, service in yaml.safe_load(path.read_text())["services"].items():
            if "HF_TOKEN" in service.get("environment", {}):
                assert name in ("csm", "mimi"), path.name


@pytest.mark.parametrize("name", ["compose.whisper.yaml", "compose.whisperx.yaml"])
def test_models_of_speech_to_text_are_kept_in_a_volume(name):
    file = yaml.safe_load((ROOT / name).read_text())
    stt = file["services"]["stt"]
    assert stt["networks"] == ["back", "hub"]
    volume, mounted = re.fullmatch(r"\$\{OVIYA_STT_MODELS:-([\w-]+)\}:(/\w+)", stt["volumes"][0]).groups()  # pyright: ignore[reportOptionalMemberAccess]
    assert volume in file["volumes"]
    assert stt["environment"]["STT_DOWNLOAD_ROOT"].startswith(f"{mounted}/")


def test_the_grace_to_stop_is_longer_than_a_service_needs():
    for service in SERVICES:
        settings = settings_class(service)
        needed_s = sum(settings.model_fields[name].default for name in ("drain_wait_s", "drain_grace_s"))
        assert float(own(service)["stop_grace_period"].removesuffix("s")) > needed_s


def test_what_the_files_read_is_in_the_example():
    used = set()
    for path in [ROOT / "compose.yaml", *OVERLAYS]:
        used |= set(re.findall(r"\$\{(\w+)", path.read_text()))
    documented = set(re.findall(r"^#?\s?([A-Z][A-Z0-9_]+)=", EXAMPLE, re.MULTILINE))
    assert used - documented == set()
    known = used | {
        f"{settings_class(service).model_config.get('env_prefix', '')}{name}".upper()
        for service in SERVICES
        for name in settings_class(service).model_fields
    }
    assert documented - known == set()  # a name that nothing reads would be a promise
