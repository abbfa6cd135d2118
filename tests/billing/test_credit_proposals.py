"""A closed month whose prices turn out wrong stays as it is; a credit note is proposed, once, with old and new side by side."""

import threading
import time
from datetime import timedelta
from decimal import Decimal

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connections

from accounts.models import AuditEntry
from accounts.tenancy import tenant_scope
from billing.corrections import credit_proposals
from billing.corrections.credit_note_queries import lines_of
from billing.corrections.credit_notes import NotProposed, accept_proposal
from billing.corrections.creditable import MoneyBack, TooMuch
from billing.invoicing import close_period, void_invoice
from billing.models import CreditNote, CreditNoteProposal, Invoice
from billing.replay import rerating
from billing.sellers import set_seller
from catalog import price_book
from catalog.models import LanguageModel
from catalog.publishing import publish_cost_price
from ledger.models import BillingPeriod
from ledger.periods import month_bounds
from metering.models import UsageEvent
from pricing.exact import exact_sum
from pricing.openrouter_pricing import parse_openrouter_pricing
from pricing.tokens import TokenUsage
from pricing.totals import invoice_totals
from tests import stories
from tests.stories import DEVSTRAL, NOON, use

_START, END = month_bounds(NOON, zone="Asia/Seoul")
BIG = TokenUsage(input_tokens=50_000_001, output_tokens=50_000_000)
Status = CreditNoteProposal.Status


@pytest.fixture
def cast(db: None) -> stories.Cast:
    cast = stories.meet_the_cast(now=NOON)
    for hours in range(3):
        use(cast.acme.organization, at=NOON - timedelta(hours=hours), usage=BIG)
    set_seller(now=NOON, **stories.SELLER)
    return cast


def close(company: stories.Company) -> Invoice:
    invoice = close_period(organization_id=company.organization.pk, period_id=period_of(company).pk, now=END)
    assert invoice is not None
    return invoice


def period_of(company: stories.Company) -> BillingPeriod:
    return BillingPeriod.objects.using("system").get(
        organization=company.organization, starts_at__lte=NOON, ends_at__gt=NOON
    )


def correct_price(text: str, *, minutes_ago: int = 90, **more: str) -> None:
    model = LanguageModel.objects.using("system").select_related("cost_table").get(slug=DEVSTRAL)
    pricing = {"prompt": text, "completion": text, **more}
    sheet = parse_openrouter_pricing(pricing)
    assert sheet is not None
    publish_cost_price(
        cost_table=model.cost_table,
        language_model=model,
        sheet=sheet,
        effective_from=NOON - timedelta(minutes=minutes_ago),
        raw=pricing,
        origin="test",
        now=NOON,
    )
    price_book.forget()


def rerate(company: stories.Company, *, days: int = 1) -> rerating.Rerated:
    return rerating.rerate(
        organization=company.organization,
        period_id=period_of(company).pk,
        reason="the upstream had lowered its price",
        actor=None,
        now=END + timedelta(days=days),
    )


def proposals() -> list[CreditNoteProposal]:
    return list(CreditNoteProposal.objects.using("system").order_by("created_at", "status"))


def test_a_lower_price_proposes_what_to_give_back_and_changes_nothing(cast: stories.Cast) -> None:
    invoice = close(cast.acme)
    correct_price("0.00000003")

    found = rerate(cast.acme)

    assert (found.closed, found.outcome.corrected) == (True, 2)
    [proposal] = proposals()
    assert [
        (line["token_class"], line["quantity"], line["unit_price"], line["new_unit_price"]) for line in proposal.lines
    ] == [
        ("input", 100_000_002, "0.000066", "0.0000495"),
        ("output", 100_000_000, "0.000066", "0.0000495"),
    ]
    assert proposal.exact_change == exact_sum(Decimal(line["difference"]) for line in proposal.lines)
    right = invoice_totals([invoice.exact_subtotal, proposal.exact_change], currency="KRW", tax_rate=invoice.tax_rate)
    assert (proposal.subtotal_change, proposal.tax_change) == (-3300, -330)
    assert proposal.total_change == right.total - invoice.total == -3630
    with tenant_scope([cast.acme.organization.pk]):
        assert UsageEvent.objects.count() == 3
        assert Invoice.objects.get().total == invoice.total
    assert AuditEntry.objects.using("system").filter(action="credit_note.proposed").count() == 1
    call_command("audit")


def test_running_again_proposes_once_and_another_correction_supersedes(cast: stories.Cast) -> None:
    close(cast.acme)
    correct_price("0.00000003")
    assert rerate(cast.acme).proposal == rerate(cast.acme).proposal
    assert len(proposals()) == 1
    correct_price("0.00000005", minutes_ago=80)
    rerate(cast.acme)
    assert [(one.status, one.total_change) for one in proposals()] == [
        (Status.PROPOSED, Decimal(3630)),
        (Status.SUPERSEDED, Decimal(-3630)),
    ]
    correct_price("0.00000004", minutes_ago=79)
    assert rerate(cast.acme).proposal is None
    assert {one.status for one in proposals()} == {Status.SUPERSEDED}


def test_four_at_once_propose_once(cast: stories.Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    close(cast.acme)
    correct_price("0.00000003")
    totals = credit_proposals._totals

    def dawdle(invoice: Invoice, change: Decimal) -> object:
        time.sleep(0.2)
        return totals(invoice, change)

    monkeypatch.setattr(credit_proposals, "_totals", dawdle)
    start = threading.Barrier(4)
    found: list[CreditNoteProposal | None] = []

    def run() -> None:
        start.wait()
        found.append(rerate(cast.acme).proposal)
        connections.close_all()

    rivals = [threading.Thread(target=run) for _number in range(4)]
    for rival in rivals:
        rival.start()
    for rival in rivals:
        rival.join()
    assert len(found) == 4 and len(set(found)) == 1
    assert len(proposals()) == 1


def test_without_a_difference_or_a_live_invoice_nothing_is_proposed(cast: stories.Cast) -> None:
    invoice = close(cast.acme)
    assert rerate(cast.acme).proposal is None
    correct_price("0.00000003")
    void_invoice(organization_id=cast.acme.organization.pk, invoice_id=invoice.pk, reason="wrong", now=END, actor=None)
    found = rerate(cast.acme)
    assert (found.outcome.corrected, found.proposal) == (2, None)
    assert proposals() == []


def test_a_proposal_stays_as_it_was_made(cast: stories.Cast) -> None:
    close(cast.acme)
    correct_price("0.00000003")
    rerate(cast.acme)
    rows = CreditNoteProposal.objects.using("system")
    with pytest.raises(IntegrityError, match="stays as it was made"):
        rows.update(total_change=0, subtotal_change=330)
    with pytest.raises(IntegrityError, match="stays as it was made"):
        rows.all().delete()


def test_the_command_corrects_open_months_and_proposes_for_closed_ones(
    cast: stories.Cast, capsys: pytest.CaptureFixture[str]
) -> None:
    use(cast.globex.organization, at=NOON, usage=BIG)
    close(cast.acme)
    correct_price("0.00000003")
    month = ["--period", "2026-11"]
    call_command("rerate", *month, "--dry-run")
    told = capsys.readouterr().out
    assert "closed; 2 would differ, -3300.000033 KRW before VAT" in told
    assert "1 corrected  -1650.0000165 KRW before VAT" in told and "Nothing was written" in told
    assert proposals() == []

    with time_machine.travel(END):
        call_command("rerate", *month, "--reason", "corrected", "--by", cast.operator.email)
    told = capsys.readouterr().out
    assert "credit note proposed for" in told and "-3630 KRW with VAT" in told
    assert proposals()[0].created_by == cast.operator
    with time_machine.travel(END):
        call_command("rerate", *month, "--reason", "corrected", "--organization", "globex")
    assert "0 corrected" in capsys.readouterr().out
    call_command("audit")


def test_the_command_waits_until_every_process_has_seen_the_correction(
    cast: stories.Cast, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    correct_price("0.00000003")
    with time_machine.travel(NOON + timedelta(seconds=3), tick=False) as clock:
        monkeypatch.setattr(time, "sleep", clock.shift)
        call_command("rerate", "--period", "2026-11", "--reason", "corrected")
    told = capsys.readouterr()
    assert "waiting 7 s" in told.err
    assert "2 corrected" in told.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "Say why"),
        (["--reason", "x", "--organization", "nobody"], "unknown organization"),
        (["--reason", "x", "--model", "no/such"], "unknown model"),
        (["--reason", "x", "--by", "owner@acme.example"], "no operator has this address"),
    ],
    ids=["reason", "organization", "model", "operator"],
)
def test_the_command_says_what_is_missing(cast: stories.Cast, options: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        call_command("rerate", "--period", "2026-11", *options)


def accept(proposal: CreditNoteProposal) -> CreditNote:
    return accept_proposal(
        organization_id=proposal.organization_id,
        proposal_id=proposal.pk,
        money_back=MoneyBack.CREDIT,
        reason="As found",
        now=END + timedelta(days=2),
        actor=None,
    )


def test_an_accepted_proposal_is_a_credit_note_and_is_not_proposed_again(cast: stories.Cast) -> None:
    invoice = close(cast.acme)
    correct_price("0.00000003")
    rerate(cast.acme)
    [proposal] = proposals()
    note = accept(proposal)
    assert (note.subtotal, note.tax, note.total, note.proposal_id) == (3300, 330, 3630, proposal.pk)
    assert (note.invoice_id, note.reason_code) == (invoice.pk, "02")
    with tenant_scope([cast.acme.organization.pk]):
        assert [line.amount for line in lines_of(note)] == [1650, 1650]
    with pytest.raises(NotProposed):
        accept(proposal)
    assert rerate(cast.acme).proposal is None
    assert [one.status for one in proposals()] == [Status.ACCEPTED]
    call_command("audit")


def test_after_another_correction_only_what_is_new_is_given_back(cast: stories.Cast) -> None:
    close(cast.acme)
    correct_price("0.00000003")
    rerate(cast.acme)
    accept(proposals()[0])
    correct_price("0.00000002", minutes_ago=80)
    rerate(cast.acme)
    [second] = [one for one in proposals() if one.status == Status.PROPOSED]
    assert second.subtotal_change == -6600
    note = accept(second)
    assert note.subtotal == 3300, "of 6,600 the first note gave back 3,300"
    call_command("audit")


def test_a_fee_that_was_forgotten_is_taken_off_what_goes_back(cast: stories.Cast) -> None:
    """No line of the invoice is for what it left out, so all lines together give back less."""
    close(cast.acme)
    correct_price("0.00000003", request="0.001")
    rerate(cast.acme)
    [proposal] = proposals()
    assert [line["token_class"] for line in proposal.lines] == ["input", "output", "requests"]
    assert -3300 < proposal.subtotal_change < -3290
    note = accept(proposal)
    assert note.subtotal == -proposal.subtotal_change
    with tenant_scope([cast.acme.organization.pk]):
        assert {line.invoice_line.token_class for line in lines_of(note)} == {"input", "output"}
    call_command("audit")


def test_a_proposal_to_charge_more_is_no_note(cast: stories.Cast) -> None:
    close(cast.acme)
    correct_price("0.00000005")
    rerate(cast.acme)
    [proposal] = proposals()
    assert proposal.subtotal_change > 0
    with pytest.raises(TooMuch):
        accept(proposal)
    assert proposals()[0].status == Status.PROPOSED
