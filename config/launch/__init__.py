"""Getting the whole system up on one machine: install, embedded servers, supervisor. `make run` starts here."""
