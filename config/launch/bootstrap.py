"""First step of every Makefile target: find a Python that will do, then let `installation` do the rest.

Any Python may be the one called `python3`, so this file keeps to syntax that old ones can read, and to the standard
library. It is run by its path: importing the package `config` needs packages that are not installed yet.
"""

import os
import subprocess
import sys

OLDEST, NEWEST = (3, 11), (3, 13)
CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def is_supported(version):
    return OLDEST <= tuple(version)[:2] <= NEWEST


def find_supported():
    """The path of a supported Python on PATH, newest first. Each is asked: a shim may stand for nothing."""
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        name = "python3.%d" % minor
        for folder in os.environ.get("PATH", "").split(os.pathsep):
            candidate = os.path.join(folder, name)
            if os.access(candidate, os.X_OK) and answers_as(candidate, minor):
                return candidate
    return None


def answers_as(candidate, minor):
    question = "import sys; print(sys.version_info[1])"
    try:
        with open(os.devnull, "w") as nowhere:
            answer = subprocess.check_output([candidate, "-c", question], stderr=nowhere)
    except (OSError, subprocess.CalledProcessError):
        return False
    return answer.decode().strip() == str(minor)


def main():
    os.chdir(CHECKOUT)
    if is_supported(sys.version_info):
        sys.path[0] = CHECKOUT
        stand_in_for_config()
        from config.launch import commands

        sys.exit(commands.main(sys.argv[1:]))
    better = find_supported()
    if better is None:
        sys.exit(
            "Python 3.11, 3.12 or 3.13 is needed, but %s is %d.%d: install one, or say where it is: "
            "make run PYTHON=/path/to/python3.12" % ((sys.executable or "python3",) + tuple(sys.version_info[:2]))
        )
    os.execv(better, [better, os.path.abspath(__file__)] + sys.argv[1:])


def stand_in_for_config():
    """A package `config` without its `__init__`, which imports Celery: not there before the installation."""
    import types

    package = types.ModuleType("config")
    package.__path__ = [os.path.join(CHECKOUT, "config")]
    sys.modules["config"] = package


if __name__ == "__main__":
    main()
