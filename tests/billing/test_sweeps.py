"""A sweep looks after many customers: one whose turn fails keeps nobody from theirs.

What fails here is the database: from some moment on it refuses what the sweep writes for one of two customers. Which of them comes
first is the sweep's affair, so each is the unlucky one once.
"""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connections

from accounts.tenancy import tenant_scope
from billing.cards import card_setups
from billing.corrections import unresolved_refunds
from billing.models import Notice, Payment, Refund
from billing.notifications.noticing import notice_all
from billing.payments import unresolved
from ledger import credit_expiry
from ledger.credits import grant_credit
from ledger.models import CreditUse
from metering.limiting import set_limit
from pricing.tokens import TokenUsage
from tests import stories
from tests.billing.collecting import House, moment, open_invoice, type_card
from tests.billing.correcting import REFUND, note_on, refund
from tests.billing.keeping import setups, start
from tests.stories import NOON, Company

UNLUCKY = pytest.mark.parametrize("unlucky", [0, 1], ids=["first", "second"])
SOON = timedelta(minutes=1)


def refuse(table: str, *, organization_id: int, when: str = "INSERT OR UPDATE OF status") -> None:
    """From now on the database refuses such a write for this organization."""
    with connections["owner"].cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'nobody thought of this'; END $$"
        )
        cursor.execute(
            f"CREATE TRIGGER refuse BEFORE {when} ON {table} FOR EACH ROW"
            f" WHEN (NEW.organization_id = {organization_id}) EXECUTE FUNCTION refuse()"
        )


@pytest.fixture
def houses(house: House) -> tuple[House, House]:
    return house, House(house.cast, open_invoice(house.cast.globex), house.processor)


@UNLUCKY
def test_payments_that_are_asked_about(houses: tuple[House, House], unlucky: int) -> None:
    for house in houses:
        type_card(house.pay().action_url)
    refuse("billing_payment", organization_id=houses[unlucky].organization_id)
    assert unresolved.resolve_unknown(now=moment() + SOON) == 1
    assert houses[unlucky].payment().status == Payment.Status.REQUIRES_ACTION
    assert houses[1 - unlucky].payment().status == Payment.Status.SUCCEEDED


@UNLUCKY
def test_refunds_that_are_asked_about(houses: tuple[House, House], unlucky: int) -> None:
    for house in houses:
        type_card(house.pay().action_url)
    unresolved.resolve_unknown(now=moment() + SOON)
    houses[0].processor.order({"fault": "accept-then-drop", "where": "POST /v1/refunds", "times": 2})
    for house in houses:
        note_on(house, {1: 1000}, money_back=REFUND)
    refuse("billing_refund", organization_id=houses[unlucky].organization_id)
    assert unresolved_refunds.resolve_unknown_refunds(now=moment() + SOON) == 1
    assert refund(houses[unlucky]).status == Refund.Status.UNKNOWN
    assert refund(houses[1 - unlucky]).status == Refund.Status.SUCCEEDED


@UNLUCKY
def test_cards_that_were_left(houses: tuple[House, House], unlucky: int) -> None:
    for house in houses:
        type_card(start(house).action_url)
    refuse("billing_cardsetup", organization_id=houses[unlucky].organization_id)
    assert card_setups.sweep_setups(now=moment() + SOON) == 2
    assert (setups(houses[unlucky]), setups(houses[1 - unlucky])) == (["open"], ["succeeded"])


@pytest.fixture
def companies(db: None) -> tuple[Company, Company]:
    cast = stories.meet_the_cast(now=NOON)
    return cast.acme, cast.globex


@UNLUCKY
def test_what_is_worth_telling(companies: tuple[Company, Company], unlucky: int) -> None:
    for company in companies:
        set_limit(organization=company.organization, amount=Decimal(100), actor=company.owner, now=NOON)
        stories.use(company.organization, at=NOON, usage=TokenUsage(input_tokens=2_000_000, output_tokens=0))
    refuse("billing_notice", organization_id=companies[unlucky].organization.pk, when="INSERT")
    lucky = companies[1 - unlucky].organization
    told = [notice.organization_id for notice in notice_all(now=NOON) if notice.kind == Notice.Kind.LIMIT_THRESHOLD]
    assert told == [lucky.pk]


@UNLUCKY
def test_credits_that_expire(companies: tuple[Company, Company], unlucky: int) -> None:
    for company in companies:
        with tenant_scope([company.organization.pk]):
            grant_credit(
                organization=company.organization,
                amount=Decimal(1000),
                currency="KRW",
                kind="promotional",
                reason="Spring",
                key="spring",
                expires_at=NOON + SOON,
                now=NOON,
            )
    refuse("ledger_credituse", organization_id=companies[unlucky].organization.pk, when="INSERT")
    assert credit_expiry.expire_due(now=NOON + 2 * SOON) == 1
    assert CreditUse.objects.using("system").get().organization_id == companies[1 - unlucky].organization.pk
