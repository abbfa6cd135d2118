"""Where the browser comes from, and what is said where there can be none: never a skipped test."""

import platform
from pathlib import Path

import pytest

from config.launch.places import LaunchError
from tests.scenarios import chromium


def program(folder: Path, name: str, *, code: int) -> str:
    file = folder / name
    file.write_text(f"#!/bin/sh\nexit {code}\n")
    file.chmod(0o755)
    return str(file)


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CHROMIUM", raising=False)


def test_the_machine_s_own_is_taken_unless_it_only_stands_for_one(tmp_path: Path) -> None:
    program(tmp_path, "chromium", code=1)
    real = program(tmp_path, "google-chrome", code=0)
    assert chromium.find().program == real


def test_the_one_that_is_named_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "chromium", code=0)
    monkeypatch.setenv("CHROMIUM", program(tmp_path, "mine", code=0))
    assert chromium.find().program == str(tmp_path / "mine")


def test_a_name_that_does_not_run_is_told_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROMIUM", program(tmp_path, "broken", code=1))
    with pytest.raises(LaunchError, match=r"broken, which does not run: install Chromium .*CHROMIUM="):
        chromium.find()


def test_where_none_is_packaged_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(LaunchError, match=r"none is packaged for aarch64: install Chromium"):
        chromium.find()
