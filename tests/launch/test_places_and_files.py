"""Folders, locks and files of the launcher: private, checked, and one line for people when something is wrong."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from config.launch import environment, lock, places, resetting
from config.launch.places import CHECKOUT, LaunchError
from tests.environment import with_path


@pytest.fixture
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VAR_DIR", str(tmp_path / "var"))
    return places.var_folder()


def test_var_is_private(var: Path) -> None:
    assert stat.S_IMODE(var.stat().st_mode) == 0o700


def test_secrets_last_and_are_private(var: Path) -> None:
    first = environment.lasting_secrets(var, ("SECRET_KEY",))
    again = environment.lasting_secrets(var, ("SECRET_KEY", "OTHER"))
    assert again["SECRET_KEY"] == first["SECRET_KEY"] != again["OTHER"]
    assert stat.S_IMODE((var / "secrets.json").stat().st_mode) == 0o600


def test_embedded_file_is_read_back_unless_a_database_is_named(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment.write_embedded({"DATABASE_URL": "postgres://x", "EXAMPLE_OF_TEST": "a=b"})
    assert stat.S_IMODE((var / "embedded.env").stat().st_mode) == 0o600
    monkeypatch.setenv("DATABASE_URL", "postgres://mine")
    assert not environment.load_embedded()
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv("EXAMPLE_OF_TEST", "so that monkeypatch takes it away again")
    del os.environ["EXAMPLE_OF_TEST"]
    assert environment.load_embedded()
    assert os.environ["EXAMPLE_OF_TEST"] == "a=b"


def test_a_second_run_is_told_who_holds_the_lock(var: Path) -> None:
    with lock.acquire(), pytest.raises(lock.AlreadyRunning, match=rf"process {os.getpid()}.*kill {os.getpid()}"):
        lock.acquire()
    lock.refuse_when_running()


def test_a_lock_whose_holder_was_killed_holds_nobody_up(var: Path) -> None:
    code = (
        "import time; from config.launch import lock; held = lock.acquire(); print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], cwd=CHECKOUT, stdout=subprocess.PIPE)
    assert holder.stdout and holder.stdout.readline() == b"held\n"
    with pytest.raises(lock.AlreadyRunning):
        lock.acquire()
    holder.kill()
    holder.wait()
    lock.acquire().close()


def test_reset_refuses_while_running(var: Path) -> None:
    (var / "demo.json").write_text("{}")
    with lock.acquire(), pytest.raises(LaunchError, match="Nothing deleted"):
        resetting.reset()
    assert (var / "demo.json").exists()


def test_reset_leaves_a_folder_that_somebody_chose(var: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (var / "precious").write_text("")
    assert resetting.reset() == 0
    assert (var / "precious").exists()
    assert str(var) in capsys.readouterr().out


def test_an_unwritable_place_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VAR_DIR", str(tmp_path / "file" / "var"))
    with pytest.raises(LaunchError, match="VAR_DIR"):
        places.var_folder()


def test_a_folder_that_others_can_fill_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/var/tmp is open to all: somebody may have made our folder before us, or a link of its name."""
    open_to_all, link = tmp_path / "open", tmp_path / "link"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    link.symlink_to(open_to_all)
    monkeypatch.setattr(places, "SHARED_FOLDERS", (open_to_all, link))
    with pytest.raises(LaunchError, match="ordinary user"):
        places.shared_folder()


def test_manage_says_in_one_line_that_nothing_runs(var: Path) -> None:
    clean = {
        name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY")
    }
    clean["DJANGO_SETTINGS_MODULE"] = "config.settings"
    done = subprocess.run(
        [sys.executable, "manage.py", "migrate"], cwd=CHECKOUT, env=clean, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("No database: start the embedded system with `make run`")
    assert done.stderr.count("\n") == 1


def test_manage_says_in_one_line_that_the_database_is_gone(var: Path) -> None:
    gone = os.environ | {"DATABASE_URL": "postgres://127.0.0.1:1/none", "DJANGO_SETTINGS_MODULE": "config.settings"}
    command = [sys.executable, "manage.py", "migrate", "--database", "owner", "--no-input"]
    done = subprocess.run(command, cwd=CHECKOUT, env=gone, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("The database does not answer; start it with `make run`")
    assert done.stderr.count("\n") == 1


def test_only_the_databases_name_changes() -> None:
    assert with_path("postgres://a:b@host:1/x", "y") == "postgres://a:b@host:1/y"
