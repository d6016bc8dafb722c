"""Kept voices: files that only the gateway reads, whole or not there, under any name."""

from __future__ import annotations

import json
import stat

import pytest

from oviya.errors import Busy, InvalidInput, OviyaError, PermissionDenied
from oviya.v1 import common_pb2
from services.gateway.memory.session_handle import hash_token, new_token
from services.gateway.own_voice.registered_voice import MAX_TEMPORARY, TEMPORARY_S, RegisteredVoice, TemporaryVoices
from services.gateway.own_voice.voice_folder import VoiceFolder

TOKEN = new_token()


def voice(name="anna"):
    frames = common_pb2.RvqFrames(codebooks=8, codes=range(2000, 2048))
    return RegisteredVoice(name, hash_token(TOKEN), "Hello there.", frames, "demo-mimi", 1e9)


@pytest.mark.parametrize("name", ["anna", "../../etc/passwd", "a/b", "Ä ö 漢", ".", "x" * 64, "\udcff"])
def test_a_voice_is_kept_under_any_name_within_the_folder(tmp_path, name):
    folder = tmp_path / "voices"
    VoiceFolder(folder, 10).add(voice(name))
    again = VoiceFolder(folder, 10)
    assert again.get(name) == voice(name)
    (path,) = folder.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert TOKEN not in path.read_text()
    again.remove(name)
    assert again.get(name) is None
    assert not list(folder.iterdir())


def test_a_name_is_given_once(tmp_path):
    one, other = VoiceFolder(tmp_path, 10), VoiceFolder(tmp_path, 10)
    one.add(voice())
    with pytest.raises(InvalidInput) as caught:
        other.add(voice())
    assert caught.value.field == "set_voice.keep_as"
    assert len(list(tmp_path.iterdir())) == 1


def test_there_is_a_limit_on_voices(tmp_path):
    folder = VoiceFolder(tmp_path, 2)
    folder.add(voice("one"))
    folder.add(voice("two"))
    with pytest.raises(Busy, match="GATEWAY_MAX_KEPT_VOICES"):
        folder.add(voice("three"))
    folder.remove("one")
    folder.add(voice("three"))


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"{" * 200_000, json.dumps({"name": "anna"}).encode()])
def test_a_damaged_file_is_reported(tmp_path, content):
    folder = VoiceFolder(tmp_path, 10)
    folder.add(voice())
    (path,) = tmp_path.iterdir()
    path.write_bytes(content)
    with pytest.raises(OviyaError, match="damaged"):
        folder.get("anna")


def test_a_folder_that_cannot_be_used_is_reported_at_start(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OviyaError, match="GATEWAY_VOICE_STORE"):
        VoiceFolder(tmp_path / "file", 10)
    with pytest.raises(OviyaError, match="create the folder"):
        VoiceFolder(tmp_path / "none" / "voices", 10)


def test_only_the_token_permits():
    voice().check_token(TOKEN)
    for wrong in ("", new_token(), "\udcff"):
        with pytest.raises(PermissionDenied):
            voice().check_token(wrong)


def test_uploads_are_forgotten_after_an_hour():
    now = 0.0
    voices = TemporaryVoices(clock=lambda: now)
    voices.add(voice("one"), "127.0.0.1")
    now = TEMPORARY_S - 1
    voices.add(voice("two"), "127.0.0.1")
    assert voices.get("one") is not None
    now = TEMPORARY_S
    assert voices.get("one") is None
    assert voices.get("two") is not None
    voices.remove("two")
    assert voices.get("two") is None


def test_one_client_cannot_take_all_places():
    voices = TemporaryVoices()
    for number in range(MAX_TEMPORARY // 2):
        voices.add(voice(str(number)), "192.0.2.1")
    with pytest.raises(Busy) as caught:
        voices.add(voice("more"), "192.0.2.1")
    assert 0 < caught.value.retry_after_s <= TEMPORARY_S
    for number in range(MAX_TEMPORARY // 2):
        voices.add(voice(f"other {number}"), "192.0.2.2")
    with pytest.raises(Busy):
        voices.add(voice("third"), "192.0.2.3")
