"""Collects static files into `var/static`, when one of them changed since the last time."""

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

from config.launch.children import Children
from config.launch.display import step
from config.launch.installation import NODE_STAMP, STAMP, read_stamp
from config.launch.places import CHECKOUT

APPS = ("accounts", "billing", "catalog", "console", "dashboard", "demo", "gateway", "ledger", "metering")


def collect_when_changed(children: Children, *, var: Path, log: Path, environment: dict[str, str]) -> None:
    target, stamp = var / "static", var / "static.json"
    wanted = {"files": fingerprint()}
    if read_stamp(stamp) == wanted and (target / "staticfiles.json").exists():
        return
    stamp.unlink(missing_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    command = [sys.executable, "manage.py", "collectstatic", "--noinput"]
    with step("Static files"):
        children.run(command, what="Collecting the static files", log=log, environment=environment)
    stamp.write_text(json.dumps(wanted))


def fingerprint() -> str:
    """Of our own files by name, size and time, of packages by their locks."""
    facts = [read_stamp(STAMP), read_stamp(NODE_STAMP)]
    own = [
        file
        for folder in (CHECKOUT / "static", *(CHECKOUT / app / "static" for app in APPS))
        for file in folder.rglob("*")
        if file.is_file()
    ]
    times = [
        (str(file.relative_to(CHECKOUT)), (state := os.stat(file)).st_size, state.st_mtime_ns) for file in sorted(own)
    ]
    settings = hashlib.sha256((CHECKOUT / "config" / "settings.py").read_bytes()).hexdigest()
    return hashlib.sha256(json.dumps([facts, times, settings]).encode()).hexdigest()
