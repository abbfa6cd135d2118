"""Each setting that an operator may set stands in .env.example; each that does not has a reason."""

import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
NOT_THE_OPERATORS = {
    "DATABASE_ROLE_PREFIX": "tests and machines with several installations",
    "DEBUG": "development",
    "DEMO": "make run",
    "DOCUMENT_FONT_PATHS": "the image brings its fonts",
    "FRANKFURTER_BASE_URL": "stand-ins in tests",
    "GATEWAY_DRAIN_SECONDS": "docker-compose.yml",
    "KOREAEXIM_BASE_URL": "stand-ins in tests",
    "MAILBOX_URL": "make run",
    "NTS_BASE_URL": "stand-ins in tests",
    "OPENROUTER_BASE_URL": "stand-ins in tests",
    "POPBILL_AUTH_URL": "stand-ins in tests",
    "POPBILL_BASE_URL": "stand-ins in tests",
    "REDIS_URL": "docker-compose.yml",
    "STRIPE_API_BASE": "stand-ins in tests",
    "SWEEP_PACE": "tests",
    "VAR_DIR": "docker-compose.yml and the image",
}


def test_settings_stand_in_the_example() -> None:
    files = (CHECKOUT / "config" / name for name in ("settings.py", "console_settings.py"))
    read = {name for file in files for name in re.findall(r'\benv(?:\.\w+)?\(\s*"([A-Z_]+)"', file.read_text())}
    shown = set(re.findall(r"^#?([A-Z_]+)=", (CHECKOUT / ".env.example").read_text(), re.MULTILINE))
    assert len(read) > 100, "so they are found"
    assert read - shown == set(NOT_THE_OPERATORS)
