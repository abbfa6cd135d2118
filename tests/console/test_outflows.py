"""An operator notes what was done about money that left at the processor."""

from datetime import datetime
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from billing.models import Invoice, Payment, ProcessorOutflow
from console.read_only import address_of
from tests.console.conftest import audited, carry_out, refused
from tests.stories import Cast


@pytest.fixture
def outflow(invoice: Invoice, cast: Cast, now: datetime) -> ProcessorOutflow:
    given: dict[str, Any] = {"organization_id": invoice.organization_id, "processor": "stripe", "currency": "KRW"}
    payment = Payment.objects.using("system").create(
        **given, invoice=invoice, amount=500, status="failed", idempotency_key="k", created_at=now
    )
    return ProcessorOutflow.objects.using("system").create(
        **given, payment=payment, kind="dispute", reference="dp_1", amount=500, status="needs_response",
        noticed_at=now, changed_at=now,
    )  # fmt: skip


@pytest.mark.parametrize("language", ["ko", "en"])
def test_what_was_done_is_noted_once(operator: Client, outflow: ProcessorOutflow, cast: Cast, language: str) -> None:
    address = reverse("admin:settle_outflow", args=[outflow.pk])
    assert address.encode() in operator.get(address_of(outflow)).content
    review = carry_out(operator, address, {"reason": "Answered"}, language=language)
    assert "₩500" in review.content.decode()
    outflow.refresh_from_db()
    assert (outflow.settlement, outflow.settled_by) == ("Answered", cast.operator)
    assert audited("outflow.settled", cast).detail["amount"] == "500"
    refused(operator, address, {"reason": "Again"}, steps=1)
    assert address.encode() not in operator.get(address_of(outflow)).content
