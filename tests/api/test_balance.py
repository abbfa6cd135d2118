"""`GET /api/v1/balance`: part by part, each saying whether VAT is in it; what is left of each credit, and until when."""

from datetime import timedelta
from decimal import Decimal

import pytest
import time_machine
from django.test import Client

from ledger.credits import grant_credit
from ledger.models import CreditGrant
from tests import stories
from tests.stories import NOON, use


@pytest.fixture
def cast(db: None) -> stories.Cast:
    cast = stories.meet_the_cast(now=NOON)
    grant_credit(
        organization=cast.acme.organization,
        amount=Decimal(300),
        currency="KRW",
        kind=CreditGrant.Kind.PROMOTIONAL,
        reason="Welcome",
        key="welcome",
        now=NOON,
        expires_at=NOON + timedelta(hours=1),
        priority=1,
    )
    use(cast.acme.organization, at=NOON)
    return cast


def balance(company: stories.Company) -> dict[str, object]:
    answer = Client().get("/api/v1/balance", headers=company.headers)
    assert answer.status_code == 200
    found: dict[str, object] = answer.json()
    return found


def test_the_parts_add_up_and_say_whether_tax_is_in_them(cast: stories.Cast) -> None:
    with time_machine.travel(NOON + timedelta(minutes=1), tick=False):
        said = balance(cast.acme)
    assert said["prepaid"] == {"amount": "5300", "tax": "included"}
    assert said["unbilled"] == {"amount": "0.099", "tax": "excluded"}
    assert said["unbilled_with_tax"] == {"amount": "0.1089", "tax": "included"}
    assert said["available"] == {"amount": "5299.8911", "tax": "included"}
    assert (said["currency"], said["tax_rate"]) == ("KRW", "0.1")


def test_an_expired_credit_is_gone_at_its_moment_but_for_what_was_used(cast: stories.Cast) -> None:
    with time_machine.travel(NOON + timedelta(hours=1), tick=False):
        said = balance(cast.acme)
    shown = said["credits"]
    assert isinstance(shown, list)
    assert [(one["reason"], one["left"], one["is_expired"]) for one in shown] == [
        ("Welcome", "1", True),
        ("Trial credit", "5000", False),
    ]
    assert said["prepaid"] == {"amount": "5001", "tax": "included"}


def test_a_neighbour_sees_its_own(cast: stories.Cast) -> None:
    with time_machine.travel(NOON, tick=False):
        said = balance(cast.globex)
    assert said["prepaid"] == {"amount": "5000", "tax": "included"}
    assert said["unbilled"] == {"amount": "0", "tax": "excluded"}
