"""What the Makefile's targets do, each on top of the installation it needs. Runs before any package is there."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from config.launch import installation
from config.launch.places import CHECKOUT, LaunchError

STRICT = ("pricing", "catalog", "ledger", "metering", "billing", "gateway")
EVERY_BRANCH_OF_PRICING = ("--cov=pricing", "--cov-branch", "--cov-report=term:skip-covered", "--cov-fail-under=100")


def main(arguments: Sequence[str]) -> int:
    command = arguments[0] if arguments else ""
    if command not in COMMANDS:
        print(f"usage: bootstrap.py {'|'.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        return COMMANDS[command](list(arguments[1:]))
    except LaunchError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def run(arguments: list[str]) -> int:
    """Becomes the supervisor: whoever waits for us, waits for it."""
    from config.launch import lock, plan

    os.environ[plan.STARTED] = str(time.time())
    lock.refuse_when_running()
    plan.choose_ports(plan.Needs.of(os.environ))  # complains before the long part, not after it
    installation.install(development=False)
    os.execv(installation.PYTHON, [str(installation.PYTHON), "-m", "config.launch.supervisor", *arguments])


def test(arguments: list[str]) -> int:
    """All tests, and then every branch of the arithmetic must have been walked; or the tests that are named."""
    installation.install(development=True)
    return _python("-m", "pytest", "-n", "auto", *(arguments or EVERY_BRANCH_OF_PRICING))


def lint(arguments: list[str]) -> int:
    """All checks run, so that one failure does not hide the next; the names of the failed ones come last."""
    installation.install(development=True)
    checks: dict[str, tuple[str, ...]] = {
        "style": ("-m", "ruff", "check", "."),
        "format": ("-m", "ruff", "format", "--check", "."),
        "types": ("-m", "mypy", *(folder for folder in STRICT if (CHECKOUT / folder).is_dir())),
        "layers": (str(installation.VENV / "bin" / "lint-imports"), "--no-cache", "--no-logo"),
        "migrations": ("-W", "ignore", "manage.py", "makemigrations", "--check", "--dry-run"),
        "translations": ("-m", "config.launch.check_translations"),
    }
    failed = []
    for name, command in checks.items():
        print(f"-- {name}", flush=True)
        if (_run(*command) if name == "layers" else _python(*command)) != 0:
            failed.append(name)
    print(f"lint: {', '.join(failed)} failed" if failed else "lint: everything in order")
    return 1 if failed else 0


def reset(arguments: list[str]) -> int:
    from config.launch import resetting

    return resetting.reset()


def install_dev(arguments: list[str]) -> int:
    installation.install(development=True)
    return 0


def lock_dependencies(arguments: list[str]) -> int:
    installation.lock(upgrade="--upgrade" in arguments)
    return 0


def bench_record(arguments: list[str]) -> int:
    installation.install(development=True)
    return _python("-m", "bench.record", *arguments)


def bench_pricing(arguments: list[str]) -> int:
    installation.install(development=True)
    return _python("-m", "bench.pricing", *arguments)


def bench_gateway(arguments: list[str]) -> int:
    installation.install(development=True)
    return _python("-m", "bench.gateway", *arguments)


def bench_ingest(arguments: list[str]) -> int:
    installation.install(development=True)
    return _python("-m", "bench.ingest", *arguments)


def bench_growth(arguments: list[str]) -> int:
    installation.install(development=True)
    return _python("-m", "bench.growth", *arguments)


def bench_close(arguments: list[str]) -> int:
    installation.install(development=True)
    return _python("-m", "bench.close", *arguments)


def bench_documents(arguments: list[str]) -> int:
    installation.install(development=True)
    return _python("-m", "bench.documents", *arguments)


def bench_data(arguments: list[str]) -> int:
    installation.install(development=True)
    return _python("-m", "bench.data", *arguments)


def _python(*arguments: str) -> int:
    return _run(str(installation.PYTHON), *arguments)


def _run(*command: str) -> int:
    """Runs in our virtual environment, outside any other of the person who called us."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV")
    }
    return subprocess.call(command, cwd=CHECKOUT, env=environment)


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "run": run,
    "test": test,
    "lint": lint,
    "reset": reset,
    "install-dev": install_dev,
    "lock": lock_dependencies,
    "bench-record": bench_record,
    "bench-pricing": bench_pricing,
    "bench-gateway": bench_gateway,
    "bench-ingest": bench_ingest,
    "bench-growth": bench_growth,
    "bench-close": bench_close,
    "bench-documents": bench_documents,
    "bench-data": bench_data,
}
