"""The first step on a strange machine: one clear line for a Python that will not do."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.launch import bootstrap
from config.launch.places import CHECKOUT

FILE = CHECKOUT / "config" / "launch" / "bootstrap.py"


@pytest.mark.parametrize(
    ("version", "supported"), [((3, 10), False), ((3, 11), True), ((3, 13, 2), True), ((3, 14), False), ((2, 7), False)]
)
def test_knows_the_supported_versions(version: tuple[int, ...], supported: bool) -> None:
    assert bootstrap.is_supported(version) is supported


def test_is_readable_for_pythons_long_out_of_use() -> None:
    """They must get as far as the line that says what to do: no f-strings, annotations or walrus in this file."""
    tree = ast.parse(FILE.read_text(), feature_version=(3, 4))
    modern = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.AsyncFunctionDef, ast.Match)
    assert not [node for node in ast.walk(tree) if isinstance(node, modern)]
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert not [node.name for node in functions if node.returns or any(part.annotation for part in node.args.args)]


def test_a_name_that_stands_for_nothing_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pyenv puts `python3.13` on PATH whether it is installed or not."""
    for name, line in {"python3.13": "exit 127", "python3.12": "echo 12"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bootstrap.find_supported() == str(tmp_path / "python3.12")


def test_says_in_one_line_what_to_do_without_a_supported_python(tmp_path: Path) -> None:
    code = "import sys; sys.version_info = (3, 9, 1); sys.path.insert(0, 'config/launch'); import bootstrap; bootstrap.main()"
    environment = os.environ | {"PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "3.11, 3.12 or 3.13" in done.stderr and "3.9" in done.stderr and "PYTHON=" in done.stderr


def test_an_unknown_command_shows_the_known_ones() -> None:
    done = subprocess.run([sys.executable, FILE, "fly"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "run|test|lint" in done.stderr
