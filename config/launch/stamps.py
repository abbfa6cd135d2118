"""Stamps: small files that say what a result was made from, so that the next start need not make it again."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from config.launch.places import CHECKOUT


def read(file: Path) -> dict[str, str]:
    """Empty when there is none, or none that makes sense."""
    try:
        stamp: dict[str, str] = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return stamp


def write(file: Path, stamp: Mapping[str, str]) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(dict(stamp)))


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def digests(files: Iterable[Path]) -> dict[str, str]:
    """Of each file, by its path in the checkout."""
    return {str(file.relative_to(CHECKOUT)): digest(file) for file in sorted(files)}


def fingerprint(facts: object) -> str:
    """Of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
