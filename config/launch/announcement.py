"""The last thing `make run` prints: where everything is and how to get in."""

from collections.abc import Mapping

from config.launch.display import say


def announce(*, demo: Mapping[str, str], values: Mapping[str, str], seeded: bool, took: float) -> None:
    rows = [
        ("Site", values["SITE_URL"], login(demo.get("email"), demo.get("password"))),
        ("Gateway", values["GATEWAY_URL"], f"API key {demo['api_key']}" if "api_key" in demo else ""),
        ("Console", values["CONSOLE_URL"], login(demo.get("operator_email"), demo.get("operator_password"))),
    ]
    if totp := demo.get("operator_totp_secret"):
        rows.append(("", "", f"TOTP secret {totp}"))
    if values.get("MAILBOX_URL"):
        rows.append(("Mailbox", values["MAILBOX_URL"], "every mail the system sends"))
    rows.append(("API docs", f"{values['SITE_URL']}/api/docs/", ""))
    say(f"\nInvoiceDream is running (after {took:.1f} s).\n")
    for name, address, hint in rows:
        say(f"  {name:<10}{address:<38}{hint}".rstrip())
    if seeded:
        say("\n  The same for scripts: var/demo.json")
    else:
        say("\n  A database of your own, so no demo data; DEMO=1 adds it.")
    say("  Logs: var/log. Ctrl-C stops; the data stays. `make reset` starts over.\n")


def login(email: str | None, password: str | None) -> str:
    return f"{email} / {password}" if email else ""
