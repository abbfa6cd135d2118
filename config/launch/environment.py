"""`var/embedded.env`: how `manage.py` and scripts find the system that `make run` started. And its lasting secrets."""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from config.launch.places import CHECKOUT

HEADER = "# Written by `make run` for this run only; manage.py reads it when DATABASE_URL is not set.\n"


def embedded_file() -> Path:
    return Path(os.environ.get("VAR_DIR") or CHECKOUT / "var") / "embedded.env"


def load_embedded() -> bool:
    """Put the running system's variables into our environment, unless DATABASE_URL names another. Set ones stay."""
    if os.environ.get("DATABASE_URL"):
        return False
    try:
        lines = embedded_file().read_text().splitlines()
    except FileNotFoundError:
        return False
    for line in lines:
        name, separator, value = line.partition("=")
        if separator and not name.startswith("#"):
            os.environ.setdefault(name, value)
    return True


def write_embedded(values: Mapping[str, str]) -> None:
    write_private(embedded_file(), HEADER + "".join(f"{name}={value}\n" for name, value in sorted(values.items())))


def write_private(file: Path, text: str) -> None:
    """Replace the file in one step, readable by us alone from its first moment."""
    fresh = file.with_name(file.name + ".new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(text)
    fresh.replace(file)


def lasting_secrets(var: Path, names: tuple[str, ...]) -> dict[str, str]:
    """Random texts that stay the same from start to start, kept in `var/secrets.json` (0600)."""
    file = var / "secrets.json"
    kept: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    missing = [name for name in names if name not in kept]
    if missing:
        kept |= {name: secrets.token_urlsafe(32) for name in missing}
        write_private(file, json.dumps(kept, indent=1))
    return {name: kept[name] for name in names}
