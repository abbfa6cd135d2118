"""`python -m tests.scenarios.nursery LOGS MARKS`: forks Celery workers and beats that need no time to start.

A process that has read all code and no more (no connection, no thread) waits for lines on its standard input, each the arguments
of `celery -A config` as JSON, and answers each with the number of the process that it forked for it. Who is killed five times a
second is then back at work in a tenth of one, where `python -m celery` would read Python code for two.

Each child leads a process group of its own, writes to a log in LOGS, and leaves a mark in MARKS while it executes a task: a file
whose owner is dead tells that a kill hit work in flight. All end when the input does.
"""

import ctypes
import gc
import json
import os
import random
import signal
import sys
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import django
from celery.signals import task_postrun, task_prerun
from django.conf import settings
from django.utils import translation

PR_SET_PDEATHSIG = 1
ON_DEMAND = (
    "celery.app.amqp", "celery.app.control", "celery.app.events", "celery.app.log", "celery.app.routes", "celery.apps.beat",
    "celery.apps.worker", "celery.bin.celery", "celery.concurrency.prefork", "celery.concurrency.thread",
    "celery.events.dispatcher", "celery.events.receiver", "celery.worker.autoscale", "celery.worker.components",
    "celery.worker.consumer", "celery.worker.loops", "celery.worker.pidbox", "celery.worker.strategy",
    "django.core.mail.backends.smtp", "kombu.transport.redis",
)  # fmt: skip
"""Modules that workers, beats and tasks import when they first need them: each is time that a child saves."""


def main() -> None:
    logs, marks = Path(sys.argv[1]), Path(sys.argv[2])
    app = warmed_up()
    children: list[int] = []
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            become(app, json.loads(line), log=logs / f"{len(children)}.log", marks=marks)
        children.append(child)
        print(child, flush=True)
        bury_the_dead()
    for child in children:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)


def warmed_up() -> Any:
    """The Celery application, and everything loaded that a worker or one of its tasks would load."""
    os.environ["CELERY_SKIP_CHECKS"] = "true"
    django.setup()
    from billing.papers import typesetting
    from config.celery import app

    app.loader.import_default_modules()
    app.finalize()
    for name in ON_DEMAND:
        import_module(name)
    for language, _name in settings.LANGUAGES:
        with translation.override(language):
            translation.gettext("Paid")
    typesetting.check_fonts()
    assert len(os.listdir("/proc/self/task")) == 1, "a fork would leave the other threads' locks held"
    gc.collect()
    gc.freeze()
    return app


def become(app: Any, arguments: list[str], *, log: Path, marks: Path) -> NoReturn:
    """The forked child's life."""
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number, source in enumerate((os.open(os.devnull, os.O_RDONLY), output, output)):
        os.dup2(source, number)
    random.seed()
    leave_marks(marks)
    try:
        app.start(argv=arguments)
    finally:
        os._exit(0)


def leave_marks(folder: Path) -> None:
    def mark(task_id: str) -> Path:
        return folder / f"{os.getpid()}-{task_id}"

    def begun(*, task_id: str, task: Any, **_: object) -> None:
        mark(task_id).write_text(f"{task.name} {time.time()}")

    def ended(*, task_id: str, **_: object) -> None:
        mark(task_id).unlink(missing_ok=True)

    task_prerun.connect(begun, weak=False)
    task_postrun.connect(ended, weak=False)


def bury_the_dead() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    main()
