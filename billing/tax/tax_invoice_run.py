"""Beat's round: issue what is due, ask about what was not answered, learn what the tax office took over, alarm before deadlines."""

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import F, Q, QuerySet
from django.db.models.fields.json import KeyTextTransform

from accounts.alarms import clear_alarm, raise_alarm
from accounts.models import Alarm
from accounts.tenancy import tenant_scope
from billing.models import Invoice, TaxInvoice
from billing.tax import proofs
from billing.tax.korean_calendar import day_in_seoul
from billing.tax.providers.interface import ProviderRefused, ProviderUnreachable
from billing.tax.tax_invoices import NoProvider, call, fail, issue, load, plan_again, provider_of, record_answer
from billing.tax.tax_withdrawals import MAYBE_MISSING, is_missing
from ledger.sweeping import others_go_on

logger = logging.getLogger(__name__)
Status = TaxInvoice.Status
ALARM = "tax_invoice"
MOST, MOST_IN_VAIN, MOST_NAMED = 500, 5, 10
UNANSWERED_PAUSE: timedelta = timedelta(minutes=1) * settings.SWEEP_PACE
"""Longer than a call may take, so that nobody asks again while the first call is still under way."""
UNSENT_PAUSE: timedelta = timedelta(hours=1) * settings.SWEEP_PACE


def run(*, now: datetime) -> int:
    """All of it, over all tenants. Returns how many were issued."""
    proofs.give_up_on_cards(now=now)
    plan_for_corrected_buyers(now=now)
    found = ask_unanswered(now=now)
    issued = issue_due(now=now)
    learn_sent(now=now)
    watch_deadlines(now=now)
    proofs.watch_doubles(now=now)
    return found + issued


def plan_for_corrected_buyers(*, now: datetime) -> int:
    """What failed because of the buyer's number is tried again once the customer has entered another one."""
    failed = _rows().filter(TaxInvoice.ORIGINALS, status=Status.FAILED, failure__startswith=TaxInvoice.OF_BUYER)
    told = failed.annotate(told=KeyTextTransform("registration_number", "buyer"))
    other = told.exclude(told=F("organization__billing_profile__registration_number"))
    rows = other.exclude(organization__billing_profile__registration_number="")[:MOST]
    for row in rows:
        with others_go_on(tax_invoice=str(row.pk)):
            plan_again(organization_id=row.organization_id, tax_invoice_id=row.pk, now=now, actor=None)
    return len(rows)


def issue_due(*, now: datetime) -> int:
    """Issue every planned one whose day has come: originals before their amendments, and what takes back before what is put in its
    place. Stops while the provider does not answer."""
    due = _rows().filter(status=Status.PLANNED, issue_from__lte=day_in_seoul(now))
    issued = in_vain = 0
    for row in due.order_by("due_on", "created_at", "reason", "total", "pk")[:MOST]:
        if in_vain >= MOST_IN_VAIN:
            break
        with others_go_on(tax_invoice=str(row.pk)):
            try:
                became = issue(organization_id=row.organization_id, tax_invoice_id=row.pk, now=now).status
            except NoProvider:
                break
            issued += became in (Status.ISSUED, Status.SENT)
            in_vain += became == Status.REQUESTED
    return issued


def ask_unanswered(*, now: datetime) -> int:
    """Look up what was asked for and never answered; what the provider does not have is asked for again, under its key.

    Stops while the provider does not answer.
    """
    found = in_vain = 0
    for row in _to_ask(Status.REQUESTED, pause=UNANSWERED_PAUSE, now=now):
        if in_vain >= MOST_IN_VAIN:
            break
        with others_go_on(tax_invoice=str(row.pk)):
            status = _ask_again(load(organization_id=row.organization_id, tax_invoice_id=row.pk), now=now)
            found += status in (Status.ISSUED, Status.SENT)
            in_vain += status == Status.REQUESTED
    return found


def _ask_again(row: TaxInvoice, *, now: datetime) -> str:
    try:
        provider = provider_of(row)
        answer = provider.look_up(mgt_key=row.mgt_key)
        if answer is not None:
            return record_answer(row, answer, now=now).status
        if row.invoice.status == Invoice.Status.VOID and row.is_original:
            return fail(row, "its invoice is void, and the provider does not have it", now=now).status
        return call(provider, row, now=now).status
    except (NoProvider, ProviderUnreachable, ProviderRefused) as error:
        logger.warning("a tax invoice stays unanswered", extra={"tax_invoice": str(row.pk), "reason": str(error)})
        return row.status


def learn_sent(*, now: datetime) -> int:
    """Ask which of the issued ones the tax office has by now: the day after, as a rule. Stops while nobody answers."""
    sent = in_vain = 0
    for row in _to_ask(Status.ISSUED, pause=UNSENT_PAUSE, now=now):
        if in_vain >= MOST_IN_VAIN:
            break
        with others_go_on(tax_invoice=str(row.pk)):
            try:
                answer = provider_of(row).look_up(mgt_key=row.mgt_key)
            except (NoProvider, ProviderUnreachable, ProviderRefused) as error:
                why = {"tax_invoice": str(row.pk), "reason": str(error)}
                logger.warning("nobody knows whether it was sent", extra=why)
                in_vain += 1
                continue
            if answer is not None:
                sent += record_answer(row, answer, now=now).status == Status.SENT
    return sent


def _is_missing(row: TaxInvoice) -> bool:
    with tenant_scope([row.organization_id]):
        return is_missing(row)


def _rows() -> QuerySet[TaxInvoice]:
    return TaxInvoice.objects.using("system")


def _to_ask(status: str, *, pause: timedelta, now: datetime) -> list[TaxInvoice]:
    """Those whose time has come and whom nobody else asks about at this moment."""
    waiting = _rows().filter(status=status, checked_at__lte=now - pause).order_by("checked_at", "pk")[:MOST]
    return [
        row
        for row in waiting
        if _rows().filter(pk=row.pk, status=status, checked_at=row.checked_at).update(checked_at=now)
    ]


def watch_deadlines(*, now: datetime) -> None:
    """An alarm for each deadline that is near or over with something unissued, for what failed, was taken back, or was issued and
    the tax office did not take it over."""
    near = day_in_seoul(now) + timedelta(days=settings.TAX_INVOICE_ALARM_DAYS)
    unissued = _rows().filter(
        Q(Q(due_on__lte=near) | Q(status=Status.FAILED), status__in=TaxInvoice.UNISSUED)
        | Q(status=Status.ISSUED) & ~Q(failure="")
        | MAYBE_MISSING
    )
    by_day: dict[str, list[str]] = {}
    for row in unissued.select_related("invoice__proof", "amends").order_by("due_on", "created_at"):
        if row.status == Status.CANCELED and not _is_missing(row):
            continue
        by_day.setdefault(row.due_on.isoformat(), []).append(row.invoice.number)
    for day, numbers in by_day.items():
        more = "…" if len(numbers) > MOST_NAMED else ""
        summary = f"{len(numbers)} tax invoice(s) that must be issued by {day} are not: "
        raise_alarm(kind=ALARM, subject=day, summary=f"{summary}{', '.join(numbers[:MOST_NAMED])}{more}", now=now)
    for open_one in Alarm.objects.using("system").filter(kind=ALARM, cleared_at=None).exclude(subject__in=by_day):
        clear_alarm(kind=ALARM, subject=open_one.subject, now=now)
