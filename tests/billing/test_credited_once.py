"""A call of a closed month is given back once: by a credit note, or by the later month in which its reporter takes it back."""

import threading
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.db import connections, transaction

from accounts.tenancy import tenant_scope
from billing.corrections import credit_notes
from billing.corrections.credit_notes import accept_proposal, issue_credit_note
from billing.corrections.creditable import MoneyBack, NotCreditable
from billing.corrections.proposed_amounts import Outdated
from billing.models import CreditNote, Invoice
from billing.sellers import set_seller
from billing.terms import set_terms
from ledger.models import Balance
from metering import correcting_usage
from metering.correcting_usage import correct_usage
from metering.reports import Outcome, Status
from tests import stories
from tests.billing.test_credit_proposals import END, close, correct_price, proposals, rerate
from tests.metering.test_correcting_usage import amend, by, tell, void
from tests.stories import NOON

LATER = END + timedelta(days=2)
BIG = 100_000_000
PRICE = 6600
"""What a call of BIG tokens costs before tax, in won."""


@pytest.fixture
def cast(db: None) -> stories.Cast:
    cast = stories.meet_the_cast(now=NOON)
    set_seller(now=NOON, **stories.SELLER)
    tell(cast, cast.acme, "one", read=BIG)
    tell(cast, cast.acme, "two", read=BIG)
    return cast


def borne(invoice: Invoice) -> Decimal:
    """What the customer bears of the month in the end, before tax."""
    with tenant_scope([invoice.organization_id]):
        notes = CreditNote.objects.values_list("subtotal", flat=True)
        return invoice.subtotal - sum(notes, Decimal(0)) + Balance.objects.get().unbilled


def take_back(cast: stories.Cast, key: str = "one") -> Outcome:
    [outcome] = correct_usage([void(cast.acme, key)], by=by(cast), now=LATER)
    return outcome


def note_on(invoice: Invoice, amounts: dict[int, Decimal] | None = None) -> CreditNote:
    return issue_credit_note(
        organization_id=invoice.organization_id,
        invoice_id=invoice.pk,
        amounts=amounts,
        money_back=MoneyBack.CREDIT,
        reason_code="02",
        reason="never happened",
        now=LATER,
        actor=None,
    )


def accept(invoice: Invoice) -> CreditNote:
    return accept_proposal(
        organization_id=invoice.organization_id,
        proposal_id=proposals()[-1].pk,
        money_back=MoneyBack.CREDIT,
        reason="price",
        now=LATER,
        actor=None,
    )


def test_what_a_note_credited_its_reporter_takes_back_no_more(cast: stories.Cast) -> None:
    invoice = close(cast.acme)
    note = note_on(invoice)
    asked = [void(cast.acme, "one"), amend(cast.acme, "two", read=1)]
    outcomes = correct_usage(asked, by=by(cast), now=LATER)
    assert [outcome.status for outcome in outcomes] == [Status.REJECTED] * 2
    assert all(f"credited by {note.number} already" in outcome.reason for outcome in outcomes)
    assert borne(invoice) == 0
    call_command("audit")


def test_a_lower_price_that_was_credited_counts_for_calls_that_are_wrong_besides(cast: stories.Cast) -> None:
    invoice = close(cast.acme)
    correct_price("0.00000003")
    rerate(cast.acme)
    accept(invoice)
    assert take_back(cast).status == Status.REJECTED
    assert borne(invoice) == PRICE * 2 * 3 / 4
    note_on(invoice, {1: Decimal(PRICE * 3 // 4)})
    assert borne(invoice) == PRICE * 3 / 4
    call_command("audit")


def test_what_was_corrected_before_stays_so_when_it_is_asked_again(cast: stories.Cast) -> None:
    invoice = close(cast.acme)
    assert take_back(cast).status == Status.ACCEPTED
    note_on(invoice)
    assert take_back(cast).status == Status.DUPLICATE
    assert borne(invoice) == 0


def test_a_note_credits_what_no_reporter_took_back(cast: stories.Cast) -> None:
    invoice = close(cast.acme)
    take_back(cast)
    note = note_on(invoice)
    assert (note.subtotal, note.tax) == (PRICE, PRICE // 10)
    assert borne(invoice) == 0
    call_command("audit")


def test_of_an_invoice_that_reporters_took_back_whole_nothing_is_left(cast: stories.Cast) -> None:
    invoice = close(cast.acme)
    take_back(cast, "one")
    take_back(cast, "two")
    with pytest.raises(NotCreditable):
        note_on(invoice)
    assert borne(invoice) == 0


def test_the_discount_goes_back_with_what_it_was_of(cast: stories.Cast) -> None:
    set_terms(
        organization=cast.acme.organization,
        month=NOON.date().replace(day=1),
        minimum_fee=Decimal(0),
        discount=Decimal("0.1"),
        zero_invoices="",
        reviewed=False,
        reason="Agreed",
        actor=None,
        now=NOON,
    )
    invoice = close(cast.acme)
    assert invoice.subtotal == PRICE * 2 * 9 / 10
    take_back(cast)
    assert note_on(invoice).subtotal == PRICE * 9 / 10


def test_calls_at_other_rates_are_still_corrected(cast: stories.Cast) -> None:
    tell(cast, cast.acme, "early", read=BIG, at=NOON - timedelta(hours=3))
    correct_price("0.00000003")
    tell(cast, cast.acme, "cheap", read=BIG)
    invoice = close(cast.acme)
    with tenant_scope([invoice.organization_id]):
        [dear] = [line.position for line in invoice.lines.all() if line.unit_price * BIG == PRICE]
    note_on(invoice, {dear: Decimal(10)})
    assert take_back(cast, "early").status == Status.REJECTED
    assert take_back(cast, "cheap").status == Status.ACCEPTED
    call_command("audit")


def test_a_proposal_is_made_anew_when_calls_were_taken_back_since(cast: stories.Cast) -> None:
    invoice = close(cast.acme)
    correct_price("0.00000003")
    rerate(cast.acme)
    take_back(cast)
    with pytest.raises(Outdated):
        accept(invoice)
    rerate(cast.acme, days=3)
    assert [proposal.status for proposal in proposals()] == ["superseded", "proposed"]
    assert accept(invoice).subtotal == PRICE / 4
    assert borne(invoice) == PRICE * 3 / 4
    call_command("audit")


def test_it_is_made_anew_even_if_it_comes_to_the_same(cast: stories.Cast) -> None:
    early = NOON - timedelta(hours=3)
    tell(cast, cast.acme, "early", read=BIG, at=early)
    invoice = close(cast.acme)
    correct_price("0.00000003")
    rerate(cast.acme)
    take_back(cast, "early")
    rerate(cast.acme, days=3)
    assert accept(invoice).subtotal == PRICE / 2
    assert [proposal.lines for proposal in proposals()] == [proposals()[0].lines] * 2


def test_the_audit_finds_what_was_given_back_twice(
    cast: stories.Cast, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    invoice = close(cast.acme)
    note_on(invoice)
    monkeypatch.setattr(correcting_usage, "credited_among", lambda events, *, organization_id: {})
    assert take_back(cast).status == Status.ACCEPTED
    with pytest.raises(CommandError):
        call_command("audit")
    [violation] = [line for line in capsys.readouterr().out.splitlines() if invoice.number in line]
    assert f"amount {PRICE * 2}.00, taken_back {PRICE}." in violation


def first_and_meanwhile(first: Callable[[], object], second: Callable[[], object]) -> object:
    """Do the second while the first is done, but not committed; returns what the second comes to."""
    came: list[object] = []

    def follow() -> None:
        try:
            came.append(second())
        except Exception as error:
            came.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=follow)
    with transaction.atomic():
        first()
        thread.start()
        thread.join(1.5)
        assert came == [], "nobody waited"
    thread.join()
    return came[0]


def test_a_note_waits_for_a_correction_and_leaves_it_out(cast: stories.Cast) -> None:
    invoice = close(cast.acme)
    note = first_and_meanwhile(lambda: take_back(cast), lambda: note_on(invoice))
    assert isinstance(note, CreditNote)
    assert note.subtotal == PRICE
    assert borne(invoice) == 0


def test_a_correction_waits_for_a_note_and_is_refused(cast: stories.Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    invoice = close(cast.acme)
    monkeypatch.setattr(credit_notes, "call_first", lambda refunds, *, now: None)
    outcome = first_and_meanwhile(lambda: note_on(invoice), lambda: take_back(cast))
    assert isinstance(outcome, Outcome)
    assert outcome.status == Status.REJECTED
    assert borne(invoice) == 0
