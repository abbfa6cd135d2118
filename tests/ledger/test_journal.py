"""Every movement of money is posted once, in entries that add up to zero, and nobody changes it afterwards."""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connections, transaction

from accounts.tenancy import set_visible_organizations, tenant_scope
from ledger import holds
from ledger.accruing import accrue
from ledger.event_ids import new_id
from ledger.journal import NothingPosted, Posting, post
from ledger.models import Account, Balance, LedgerEntry, LedgerTransaction, TransactionKind
from metering.recording import record
from tests import stories
from tests.ledger.test_holds import request
from tests.stories import NOON, usage_report, use

TEN = Decimal(10)
BALANCED = {Account.BANK: TEN, Account.PREPAID: -TEN}


@pytest.fixture
def cast(db: None) -> stories.Cast:
    return stories.meet_the_cast(now=NOON)


def posted(company: stories.Company, kind: str) -> list[dict[str, Decimal]]:
    """Accounts and amounts of a company's transactions of `kind`, oldest first."""
    with tenant_scope([company.organization.pk]):
        return [
            dict(LedgerEntry.objects.filter(transaction_id=one.id).values_list("account", "amount"))
            for one in LedgerTransaction.objects.filter(kind=kind).order_by("id")
        ]


def top_up(company: stories.Company, entries: dict[Account, Decimal], *, key: str = "one") -> None:
    with tenant_scope([company.organization.pk]):
        posting = Posting(TransactionKind.CREDIT_GRANTED, key, entries)
        post(organization_id=company.organization.pk, postings=[posting], now=NOON)


def test_a_batch_is_posted_once_for_each_organization(cast: stories.Cast) -> None:
    reports = [
        usage_report(company.organization, at=NOON) for company in (cast.acme, cast.globex) for _call in range(3)
    ]
    outcomes = record(reports, now=NOON)
    record(reports, now=NOON)
    charged = sum(outcome.amount for outcome in outcomes[:3] if outcome.amount)
    for company in (cast.acme, cast.globex):
        assert posted(company, "usage") == [{"unbilled": charged, "revenue": -charged}]
    with tenant_scope([cast.acme.organization.pk]):
        [batch] = LedgerTransaction.objects.filter(kind="usage")
        assert UUID(batch.key) in {outcome.event_id for outcome in outcomes[:3]}
    call_command("audit")


def test_a_correction_is_posted_as_what_it_changes(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=NOON)
    stories.correct_usage(cast.acme.organization, now=NOON, recharge=False)
    [usage], [correction] = posted(cast.acme, "usage"), posted(cast.acme, "correction")
    assert correction == {account: -amount for account, amount in usage.items()}
    call_command("audit")


def test_a_charge_of_nothing_posts_nothing_and_still_gives_its_hold_back(cast: stories.Cast) -> None:
    acme, hold = cast.acme.organization.pk, request(cast.acme, 5)
    assert holds.reserve([hold]) == [None]
    with tenant_scope([acme]):
        assert Balance.objects.get().held == 5
        accrue({acme: Decimal(0)}, holds={(acme, hold.id): Decimal(0)}, keys={acme: new_id(NOON)}, now=NOON)
        assert Balance.objects.get().held == 0
    assert posted(cast.acme, "usage") == []


@pytest.mark.parametrize("amount", ["9.99999999999999999999", "-10", "NaN"])
def test_entries_that_do_not_add_up_are_refused_when_they_are_committed(cast: stories.Cast, amount: str) -> None:
    with pytest.raises(DatabaseError):
        top_up(cast.acme, {Account.BANK: TEN, Account.PREPAID: -Decimal(amount)})
    with tenant_scope([cast.acme.organization.pk]):
        assert Balance.objects.get().prepaid == 5000
    call_command("audit")


def test_the_same_is_not_posted_twice(cast: stories.Cast) -> None:
    top_up(cast.acme, BALANCED)
    with pytest.raises(IntegrityError, match="posted_once"):
        top_up(cast.acme, BALANCED)
    with tenant_scope([cast.acme.organization.pk]):
        assert Balance.objects.get().prepaid == 5010
    top_up(cast.globex, BALANCED)


def test_a_check_at_commit_sees_its_rows_even_if_the_scope_was_narrowed_since(cast: stories.Cast) -> None:
    with transaction.atomic():
        top_up(cast.acme, BALANCED)
        set_visible_organizations([cast.globex.organization.pk])
    assert len(posted(cast.acme, "credit_granted")) == 2
    with pytest.raises(DatabaseError, match="not 0"), transaction.atomic():
        top_up(cast.acme, {Account.BANK: TEN, Account.PREPAID: TEN}, key="two")
        set_visible_organizations([cast.globex.organization.pk])


def test_nothing_is_posted_for_a_neighbour(cast: stories.Cast) -> None:
    with pytest.raises(NothingPosted), tenant_scope([cast.acme.organization.pk]):
        posting = Posting(TransactionKind.CREDIT_GRANTED, "one", BALANCED)
        post(organization_id=cast.globex.organization.pk, postings=[posting], now=NOON)
    with tenant_scope([cast.acme.organization.pk]):
        assert not LedgerTransaction.objects.for_organization(cast.globex.organization).exists()


ADD_ENTRY = """
INSERT INTO ledger_ledgerentry (organization_id, transaction_id, position, entry_count, account, amount)
SELECT {organization}, id, {position}, {count}, 'bank', 1 FROM ledger_ledgertransaction LIMIT 1
"""


@pytest.mark.parametrize(
    "statement",
    [
        ADD_ENTRY.format(organization="organization_id", position=3, count=2),
        ADD_ENTRY.format(organization="organization_id", position=3, count=3),
        ADD_ENTRY.format(organization="organization_id", position=1, count=2),
        ADD_ENTRY.format(organization="organization_id + 1", position=1, count=2),
        "UPDATE ledger_ledgerentry SET amount = 0 - amount",
        "DELETE FROM ledger_ledgerentry",
        "UPDATE ledger_ledgertransaction SET key = 'x'",
        "DELETE FROM ledger_ledgertransaction",
        "TRUNCATE ledger_ledgertransaction CASCADE",
    ],
    ids=[
        "a third entry", "more entries", "an entry anew", "across tenants", "change an entry", "delete an entry",
        "change a transaction", "delete a transaction", "truncate",
    ],
)  # fmt: skip
@pytest.mark.parametrize("role", ["default", "system"])
def test_what_is_posted_stays_as_it_is(cast: stories.Cast, role: str, statement: str) -> None:
    scope = tenant_scope([cast.acme.organization.pk, cast.globex.organization.pk], using=role)
    with pytest.raises(DatabaseError), scope, connections[role].cursor() as cursor:
        cursor.execute(statement)


def test_postings_of_one_moment_are_told_apart(cast: stories.Cast) -> None:
    for number in range(3):
        use(cast.acme.organization, at=NOON - timedelta(minutes=number), now=NOON)
    assert len(posted(cast.acme, "usage")) == 3
