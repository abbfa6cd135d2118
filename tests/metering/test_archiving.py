"""Old months leave the database for files, and nobody who reads can tell: not by a byte."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import time_machine
from django.conf import LazySettings
from django.core.management import call_command

from tests import stories
from tests.metering.archived import archive, everything_seen, grow_history, partitions_left
from tests.stories import NOON


@pytest.fixture
def cast(db: None, settings: LazySettings, tmp_path: Path) -> Iterator[stories.Cast]:
    settings.VAR_DIR = tmp_path
    with time_machine.travel(NOON, tick=False):
        yield grow_history()


def test_everything_reads_the_same_before_and_after(cast: stories.Cast, capsys: pytest.CaptureFixture[str]) -> None:
    before = {company: dict(everything_seen(company)) for company in (cast.acme, cast.globex)}
    assert len(before[cast.acme]) > 50
    told = archive()
    assert "2 month(s) archived" in told, told
    assert partitions_left() == ["metering_usageevent_y2026m10", "metering_usageevent_y2026m11"]
    for company, seen in before.items():
        for what, answer in everything_seen(company):
            assert answer == seen[what], what
    call_command("audit")
    assert "All invariants hold" in capsys.readouterr().out
