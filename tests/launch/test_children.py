"""Children of the supervisor: ready, crashed and started again, stopped in order, never left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from config.launch import children as children_module
from config.launch.children import Child, Children, Interrupted
from config.launch.places import CHECKOUT, LaunchError
from config.launch.processes import Registry, birth, spawn

SLEEPER = "import time; time.sleep(60)"


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "processes.json")


def child(
    tmp_path: Path, code: str, *, name: str = "one", stage: int = 1, is_ready: Callable[[], bool] = lambda: True
) -> Child:
    log = tmp_path / f"{name}.log"

    def start() -> subprocess.Popen[bytes]:
        return spawn([sys.executable, "-c", code], log=log, environment=os.environ, folder=tmp_path)

    return Child(name, start, is_ready, log=log, stage=stage, patience=5)


def wait_for(condition: Callable[[], object], *, within: float = 10) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def test_waits_until_ready(tmp_path: Path, registry: Registry) -> None:
    children, flag = Children(registry), tmp_path / "ready"
    code = f"import time; time.sleep(.2); open({str(flag)!r}, 'w'); time.sleep(60)"
    children.launch(child(tmp_path, code, is_ready=flag.exists))
    children.wait_ready(["one"])
    assert flag.exists()
    children.stop_all()


def test_one_that_ends_while_starting_is_an_error_with_the_end_of_its_log(tmp_path: Path, registry: Registry) -> None:
    children = Children(registry)
    children.launch(child(tmp_path, "raise SystemExit('the reason')", is_ready=lambda: False))
    with pytest.raises(LaunchError, match=r"(?s)the reason.*one ended while starting \(exit 1\)"):
        children.wait_ready(["one"])


def test_one_that_stays_silent_is_an_error_too(tmp_path: Path, registry: Registry) -> None:
    children = Children(registry)
    children.launch(child(tmp_path, SLEEPER, is_ready=lambda: False))
    with pytest.raises(LaunchError, match="Not ready after 0 s: one"):
        children.wait_ready(["one"], within=0.2)
    children.stop_all()


def test_a_crashed_child_comes_back(tmp_path: Path, registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    children, one = Children(registry), child(tmp_path, SLEEPER)
    children.launch(one)
    assert one.process
    first = one.process.pid
    os.kill(first, signal.SIGKILL)

    def back() -> bool:
        if one.process is not None and one.process.pid != first and one.is_running:
            children.interrupt()
        return True

    # `watch` runs until interrupted; the child's own look at the clock is the place to interrupt it.
    original, children.heed = children.heed, lambda: (back(), original())[1]  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        children.watch()
    children.stop_all()
    assert "one ended (killed by SIGKILL); starting it again in 1 s" in capsys.readouterr().out


def test_pauses_grow_while_it_keeps_crashing(tmp_path: Path, registry: Registry) -> None:
    children, one = Children(registry), child(tmp_path, "")
    pauses = []
    for _ in range(7):
        children._start(one)
        assert one.process
        one.process.wait()
        children._note_crash(one, now=one.started)
        assert one.resume
        pauses.append(one.resume - one.started)
    assert [round(pause) for pause in pauses] == [1, 2, 4, 8, 16, 30, 30]
    children._note_crash(one, now=one.started + children_module.STEADY + 1)
    assert one.crashes == 1


def test_stops_stage_by_stage(tmp_path: Path, registry: Registry) -> None:
    """The first ones use the later ones to the end, so they go first."""
    order = tmp_path / "order"
    code = (
        "import signal, sys, time\n"
        "def stop(*_):\n"
        "    time.sleep(float(sys.argv[1])); open({file!r}, 'a').write({name!r} + ' '); sys.exit()\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "open({ready!r}, 'w'); time.sleep(60)"
    )
    children = Children(registry)
    for name, stage, pause in (("database", 2, "0"), ("site", 1, "0.4")):
        ready = tmp_path / f"{name}.ready"
        text = code.format(file=str(order), name=name, ready=str(ready)).replace("sys.argv[1]", repr(pause))
        children.launch(child(tmp_path, text, name=name, stage=stage, is_ready=ready.exists))
    children.wait_ready(["database", "site"])
    children.stop_all()
    assert order.read_text() == "site database "


def test_one_that_will_not_stop_is_killed_with_all_it_started(tmp_path: Path, registry: Registry) -> None:
    noted = tmp_path / "grandchild"
    code = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"grandchild = subprocess.Popen([sys.executable, '-c', {SLEEPER!r}])\n"
        f"open({str(noted)!r}, 'w').write(str(grandchild.pid)); time.sleep(60)"
    )
    children, stubborn = Children(registry), child(tmp_path, code)
    stubborn.patience = 0.3
    children.launch(stubborn)
    wait_for(lambda: noted.exists() and noted.read_text())
    children.stop_all()
    wait_for(lambda: not is_alive(int(noted.read_text())))
    assert stubborn.process and stubborn.process.returncode == -signal.SIGKILL


def is_alive(pid: int) -> bool:
    """A zombie that nobody collected yet is dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_leftovers_of_a_killed_supervisor_are_ended_and_strangers_spared(tmp_path: Path, registry: Registry) -> None:
    leftover = spawn([sys.executable, "-c", SLEEPER], log=tmp_path / "log", environment=os.environ, folder=tmp_path)
    stranger = spawn([sys.executable, "-c", SLEEPER], log=tmp_path / "log", environment=os.environ, folder=tmp_path)
    born = birth(leftover.pid)
    # The second number was reused: its process is younger than the one we noted.
    (tmp_path / "processes.json").write_text(f'{{"{leftover.pid}": "{born}", "{stranger.pid}": "1"}}')
    # Its parent is this test, which must collect it for the number to go.
    signal.signal(signal.SIGCHLD, lambda *_: leftover.poll())
    try:
        assert registry.end_leftovers() == 1
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    assert leftover.poll() is not None
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's signal to orphans")
def test_children_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    noted = tmp_path / "child"
    code = (
        "import os, sys, time; from config.launch.processes import spawn\n"
        f"child = spawn([sys.executable, '-c', {SLEEPER!r}], log=None, environment=os.environ, folder='/')\n"
        f"open({str(noted)!r}, 'w').write(str(child.pid)); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=CHECKOUT)
    wait_for(lambda: noted.exists() and noted.read_text())
    parent.kill()
    parent.wait()
    wait_for(lambda: not is_alive(int(noted.read_text())))
