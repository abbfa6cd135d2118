"""The audit log says of each deed what it keeps of it, in rows and in the operator's language."""

from datetime import datetime
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.audit_log import write_audit_entry
from accounts.models import AuditEntry
from tests.dashboard.conftest import text_of
from tests.stories import Cast


def shown(operator: Client, cast: Cast, now: datetime, detail: dict[str, Any], *, action: str = "limit.set") -> str:
    write_audit_entry(action=action, now=now, organization=cast.acme.organization, detail=detail)
    entry = AuditEntry.objects.using("system").latest("pk")
    assert entry.detail == detail
    return text_of(operator.get(reverse("admin:accounts_auditentry_change", args=[entry.pk])))


@pytest.fixture
def english(operator: Client) -> Client:
    operator.cookies["invoicedream_language"] = "en"
    return operator


@pytest.mark.parametrize(
    ("detail", "row"),
    [
        ({"amount": "1234567.50"}, "Amount 1,234,567.50"),
        ({"excess": "-0.5"}, "Left over -0.5"),
        ({"hard": True}, "Hard limit Yes"),
        ({"hard": False}, "Hard limit No"),
        ({"closes_at": "2026-11-30T15:00:00+00:00"}, "Closing moment 2026-12-01 00:00"),
        ({"from": "standard", "to": "zero_rated"}, "Until now standard From now on zero_rated"),
        ({"from": "2026-12-01"}, "In force from 2026-12-01"),
        ({"total": {"before": "1000", "after": "900"}}, "Total 1,000 → 900"),
        ({"keys": ["team", "env"], "before": []}, "Before – Keys team, env"),
        ({"legal_name": "Acme Ltd"}, "Company name Acme Ltd"),
        ({"processor": "bank_transfer", "failure": ""}, "Failure – Processor Bank transfer"),
        ({"strange_key": {"deep": ["<b>", None]}}, "strange_key deep: <b>, –"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_each_value_is_a_row(english: Client, cast: Cast, now: datetime, detail: dict[str, Any], row: str) -> None:
    assert row in shown(english, cast, now, detail)


def test_an_operator_reads_them_in_korean(operator: Client, cast: Cast, now: datetime) -> None:
    operator.cookies["invoicedream_language"] = "ko"
    assert "강제 한도 예" in shown(operator, cast, now, {"hard": True})


def test_of_an_older_entry_about_a_webhook_neither_path_nor_query_is_shown(
    english: Client, cast: Cast, now: datetime
) -> None:
    url = "https://hooks.acme.example/services/T0/hush"
    text = shown(english, cast, now, {"url": url}, action="webhook.tested")
    assert "Address https://hooks.acme.example/…" in text
    assert "hush" not in text
