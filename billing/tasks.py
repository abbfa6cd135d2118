"""Doorbells of billing: ids in, one call, ring the next step. Work that a lost message leaves undone is swept up by beat."""

import logging
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from celery import Task, shared_task
from django.utils import timezone
from kombu.exceptions import OperationalError

from accounts import business_standing
from billing import auditing, cycle, delivery, documents, review
from billing.cards import automatic, automatic_top_up, card_setups, payment_methods
from billing.closures import afterwards, ending, finishing, resuming
from billing.corrections import unresolved_refunds
from billing.exports import exporting
from billing.mail import outbox, reading_reports, sample_mails
from billing.models import Invoice
from billing.notifications import noticing, webhook_delivery
from billing.overdue import dunning, suspension
from billing.papers import document_files, evidence_files, turns
from billing.payments import unresolved, webhooks
from billing.tax import tax_invoice_run
from ledger.sweeping import others_go_on

logger = logging.getLogger(__name__)
DOCUMENTS_A_SWEEP = 500
EVIDENCE_A_SWEEP = 100
AUDIT_SECONDS = 3000
"""How long an audit may take; less than the broker waits before it gives a task to another worker."""


def ring(task: "Task[Any, Any]", **ids: object) -> None:
    """Ask for `task` now if the broker is there; if it is not, a sweep finds the row that was just committed."""
    try:
        task.apply_async(kwargs=ids, retry=False)
    except OperationalError as error:
        logger.warning("nobody was rung", extra={"task": task.name, "error_type": type(error).__name__})


@shared_task
def close_due_periods() -> None:
    """Ring for all periods whose grace time is over, a chunk a message."""
    for chunk in cycle.chunks(cycle.due_periods(now=timezone.now())):
        close_periods.delay(periods=chunk)


@shared_task(time_limit=AUDIT_SECONDS)
def audit() -> None:
    """Ask every invariant, keep what was found, alarm."""
    try:
        auditing.run_audit(now=timezone.now())
    except auditing.AuditRunning as error:
        logger.warning("no second audit", extra={"reason": str(error)})


@shared_task(time_limit=AUDIT_SECONDS)
def close_periods(*, periods: Sequence[cycle.PeriodKey]) -> None:
    """Close periods and finalize their invoices, after an audit if none is fresh. What stays open the sweep tries again."""
    ring_for_invoices(cycle.close_all(periods, now=timezone.now()))


def ring_for_invoices(issued: Sequence[Invoice]) -> None:
    """What invoices that were just issued ask for: their PDFs, which their mails wait for, their evidence, and the cards that pay
    them."""
    invoices = [(invoice.organization_id, str(invoice.pk)) for invoice in issued]
    if invoices:
        ring(render_documents, invoices=invoices)
        ring(write_evidence, invoices=invoices)
        ring(charge_due_invoices, invoice_ids=[invoice_id for _organization_id, invoice_id in invoices])


@shared_task
def charge_due_invoices(*, invoice_ids: Sequence[str] | None = None) -> None:
    """Charge what is due by itself: of these invoices, or of all."""
    automatic.charge_due(now=timezone.now(), invoice_ids=None if invoice_ids is None else [*map(UUID, invoice_ids)])


@shared_task
def sweep_card_setups() -> None:
    """Ask what became of the pages on which cards are left."""
    card_setups.sweep_setups(now=timezone.now())


@shared_task
def top_up_automatically() -> None:
    """Buy credit for everybody who has too little and asked for it."""
    automatic_top_up.top_up_all(now=timezone.now())


@shared_task
def forget_removed_cards() -> None:
    """Tell the processor again of cards that were removed."""
    payment_methods.forget_removed(now=timezone.now())


@shared_task
def close_organizations() -> None:
    """End the usage of those whose closing moment has come, make last invoices, close those who are settled."""
    now = timezone.now()
    ending.end_due(now=now)
    ring_for_invoices(finishing.finish_all(now=now))


@shared_task
def watch_closed_organizations() -> None:
    """Settle again who was charged, send back what came later, and alarm about what an operator must see to."""
    now = timezone.now()
    resuming.resume_all(now=now)
    afterwards.watch_closed(now=now)


@shared_task
def make_export(*, organization_id: int, export_id: str) -> None:
    """Make the file of one data export."""
    exporting.make_export(organization_id=organization_id, export_id=export_id, clock=timezone.now)


@shared_task
def sweep_exports() -> None:
    """Ring for exports that nobody is at, and throw away those whose time is over."""
    now = timezone.now()
    for organization_id, export_id in exporting.waiting_exports(now=now):
        ring(make_export, organization_id=organization_id, export_id=str(export_id))
    exporting.throw_away(now=now)


@shared_task
def watch_drafts() -> None:
    """Alarm about drafts that nobody reviews."""
    review.watch_drafts(now=timezone.now())


@shared_task
def render_documents(*, invoices: Sequence[tuple[int, str]]) -> None:
    """Make the PDFs of invoices (organization, id), and send the mails that wait for them. One that fails stops no other."""
    for organization_id, invoice_id in invoices:
        with others_go_on(organization_id=organization_id, invoice_id=invoice_id):
            documents.render_document(organization_id=organization_id, subject_id=invoice_id, now=timezone.now())
            for mail_id in outbox.waiting_for_document(organization_id=organization_id, invoice_id=invoice_id):
                ring(deliver_mail, organization_id=organization_id, mail_id=str(mail_id))


@shared_task
def sweep_documents() -> None:
    """Make the PDFs that nobody was rung for, and clear away halves."""
    now = timezone.now()
    documents.render_all(turns.drawn(documents.missing(now=now), most=DOCUMENTS_A_SWEEP), now=now)
    document_files.remove_leftovers(now=now)


@shared_task
def write_evidence(*, invoices: Sequence[tuple[int, str]]) -> None:
    """Write the requests behind invoices (organization, id) to a file each."""
    keys = [(organization_id, UUID(invoice_id)) for organization_id, invoice_id in invoices]
    evidence_files.write_all(keys, now=timezone.now())


@shared_task
def sweep_evidence() -> None:
    """Write the evidence of invoices that have none yet."""
    now = timezone.now()
    evidence_files.write_all(turns.drawn(evidence_files.missing(now=now), most=EVIDENCE_A_SWEEP), now=now)


@shared_task
def deliver_mail(*, organization_id: int, mail_id: str) -> None:
    """Send one mail of the outbox."""
    try:
        delivery.deliver(organization_id=organization_id, mail_id=mail_id, now=timezone.now())
    except delivery.MailServerUnreachable as error:
        logger.warning("a mail waits", extra={"mail": mail_id, "reason": str(error)})


@shared_task
def deliver_sample_mail(*, mail_id: str) -> None:
    """Send an operator the sample that they asked for."""
    sample_mails.deliver_sample(mail_id=mail_id, now=timezone.now())


@shared_task
def read_mail_reports() -> None:
    """Note what mail servers reported, if there is a folder for that."""
    reading_reports.read_regularly(now=timezone.now())


@shared_task
def sweep_mail() -> None:
    """Send every mail that is due."""
    sample_mails.deliver_waiting_samples(now=timezone.now())
    try:
        delivery.deliver_waiting(now=timezone.now())
    except delivery.MailServerUnreachable as error:
        logger.warning("mails wait", extra={"reason": str(error)})


@shared_task
def process_processor_event(*, event_id: int) -> None:
    """Do what one webhook asks for."""
    webhooks.process_event(event_id=event_id, now=timezone.now())


@shared_task
def sweep_processor_events() -> None:
    """Do what is left of the inbox."""
    webhooks.process_waiting_events(now=timezone.now())


@shared_task
def resolve_unknown_payments() -> None:
    """Ask the processors about attempts that are still open."""
    unresolved.resolve_unknown(now=timezone.now())


@shared_task
def resolve_unknown_refunds() -> None:
    """Ask the processors about refunds that are still open."""
    unresolved_refunds.resolve_unknown_refunds(now=timezone.now())


@shared_task
def check_registration_numbers() -> None:
    """Ask the tax office about registration numbers that were saved, or not asked about for long."""
    business_standing.note_numbers_in_use()
    business_standing.check_waiting(now=timezone.now())


@shared_task
def run_tax_invoices() -> None:
    """Issue the tax invoices that are due, ask about unanswered ones, alarm before deadlines."""
    tax_invoice_run.run(now=timezone.now())


@shared_task
def dun() -> None:
    """Remind of unpaid invoices, charge cards again, suspend."""
    dunning.dun_all(now=timezone.now())


@shared_task
def restore_paid() -> None:
    """Let those call again who have nothing overdue any more."""
    suspension.restore_paid(now=timezone.now())


@shared_task
def notice_spending() -> None:
    """Tell of limits, credit and keys what is worth telling."""
    noticing.notice_all(now=timezone.now())


@shared_task
def deliver_webhook(*, organization_id: int, delivery_id: str) -> None:
    """Make one call to a customer's endpoint."""
    webhook_delivery.deliver(organization_id=organization_id, delivery_id=delivery_id, now=timezone.now())


@shared_task
def sweep_webhooks() -> None:
    """Make every call to customers' endpoints that is due."""
    webhook_delivery.deliver_waiting(now=timezone.now())
