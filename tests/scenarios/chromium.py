"""The browser that scenarios are told in: the machine's own, else one that comes through npm by a lock file of the tests' own.

`CHROMIUM` in the environment names another. What is fetched stands in `.chromium/` of the checkout; `make run` never does so.
"""

import fcntl
import os
import platform
import shutil
import subprocess
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

from config.launch import installation, stamps
from config.launch.places import CHECKOUT, LaunchError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LOCKED = CHECKOUT / "tests" / "browser"
FETCHED = CHECKOUT / ".chromium"
PACKED = FETCHED / "node_modules" / "@sparticuz" / "chromium" / "bin"
UNPACK = (
    "const {createBrotliDecompress} = require('zlib'), {pipeline} = require('stream'), fs = require('fs');"
    "const [from, to] = process.argv.slice(1);"
    "pipeline(fs.createReadStream(from), createBrotliDecompress(), fs.createWriteStream(to), e => { if (e) throw e })"
)
FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{fonts}</dir><dir>/usr/share/fonts</dir><cachedir>{cache}</cachedir></fontconfig>
"""
REMEDY = "install Chromium (on Debian: apt-get install chromium), or name one in the environment: CHROMIUM=/path/to/it"


@dataclass(frozen=True, slots=True)
class Chromium:
    """A browser's program, and the environment it needs besides ours."""

    program: str
    environment: dict[str, str] = field(default_factory=dict)


def find() -> Chromium:
    """A browser that runs. Raises LaunchError with what to do where there can be none."""
    named = os.environ.get("CHROMIUM")
    if named:
        if not installation.works(named):
            raise LaunchError(f"CHROMIUM names {named}, which does not run: {REMEDY}.")
        return Chromium(named)
    for name in NAMES:
        found = shutil.which(name)
        # Ubuntu's chromium-browser is a script that asks for a snap.
        if found and installation.works(found):
            return Chromium(found)
    return fetched()


def fetched() -> Chromium:
    """The packaged one, fetched when it is not here yet: a headless build that brings its libraries and a font along."""
    if platform.machine() != "x86_64":
        raise LaunchError(f"No browser is here, and none is packaged for {platform.machine()}: {REMEDY}.")
    FETCHED.mkdir(exist_ok=True)
    with open(FETCHED / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = stamps.digests([*LOCKED.iterdir(), Path(__file__).resolve()])
        if stamps.read(FETCHED / "installed.json") != wanted:
            _fetch()
            stamps.write(FETCHED / "installed.json", wanted)
    libraries = os.pathsep.join(filter(None, [str(FETCHED / "lib"), os.environ.get("LD_LIBRARY_PATH")]))
    browser = Chromium(
        str(FETCHED / "chromium"),
        {"LD_LIBRARY_PATH": libraries, "FONTCONFIG_FILE": str(FETCHED / "fonts.conf")},
    )
    try:
        _say_version(browser)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or error
        raise LaunchError(f"The packaged browser does not run here ({said}): {REMEDY}.") from None
    return browser


def _fetch() -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(LOCKED / name, FETCHED / name)
    try:
        installation.npm_ci(FETCHED, what="Installing the packaged browser")
    except LaunchError as error:
        raise LaunchError(f"{error} Or {REMEDY}.") from None
    _unpack("chromium", "chromium")
    (FETCHED / "chromium").chmod(0o755)
    for name in ("al2023", "fonts"):
        archive = FETCHED / f"{name}.tar"
        _unpack(archive.name, archive.name)
        with tarfile.open(archive) as packed:
            for member in filter(tarfile.TarInfo.isfile, packed):
                (FETCHED / member.name).parent.mkdir(parents=True, exist_ok=True)
                (FETCHED / member.name).write_bytes(packed.extractfile(member).read())  # type: ignore[union-attr]
        archive.unlink()
    (FETCHED / "fonts.conf").write_text(FONTS.format(fonts=FETCHED / "fonts", cache=FETCHED / "cache"))
    shutil.rmtree(FETCHED / "node_modules")


def _unpack(packed: str, to: str) -> None:
    command = [installation.node(), "-e", UNPACK, PACKED / f"{packed}.br", FETCHED / to]
    installation.call(command, what="Unpacking the packaged browser")


def _say_version(browser: Chromium) -> None:
    command = [browser.program, "--headless", "--no-sandbox", "--version"]
    environment = os.environ | browser.environment
    subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
