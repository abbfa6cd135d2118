"""`make reset`: deletes the demo's data. Stops nothing that it did not start: a running system makes it refuse."""

import shutil

from config.launch import lock
from config.launch.display import say
from config.launch.places import CHECKOUT, LaunchError, remove_servers_home, var_folder
from config.launch.processes import Registry


def reset() -> int:
    var = var_folder()
    try:
        held = lock.acquire()
    except lock.AlreadyRunning as error:
        raise LaunchError(f"Nothing deleted. {error}") from None
    Registry(var / "processes.json").end_leftovers()
    remove_servers_home(var=var)
    if var != CHECKOUT / "var":
        # Somebody chose this folder and may keep other things in it.
        say(f"The database is deleted. VAR_DIR names {var}: delete that folder yourself.")
        return 0
    shutil.rmtree(var)
    held.close()
    say("Deleted: var/ with database, logs and secrets. `make run` starts over.")
    return 0
