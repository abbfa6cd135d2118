"""How far the run of a month is, counted from the rows that it works on: periods, invoices, documents, mails."""

from dataclasses import dataclass
from datetime import date, datetime

from django.db import connections

MOST_SHOWN = 20

PERIODS = """
SELECT period.id, period.organization_id, organization.slug, organization.name, period.status, period.ends_at,
    period.ends_at + make_interval(hours => coalesce(profile.grace_hours, 0)) AS due_at
FROM ledger_billingperiod AS period
JOIN accounts_organization AS organization ON organization.id = period.organization_id
LEFT JOIN accounts_billingprofile AS profile ON profile.organization_id = period.organization_id
WHERE (period.starts_at AT TIME ZONE period.zone)::date = %(first)s
"""
COUNTS = f"""
WITH period AS ({PERIODS})
SELECT count(*), count(*) FILTER (WHERE status = 'closed'), count(*) FILTER (WHERE status = 'open' AND due_at > %(now)s),
    count(*) FILTER (WHERE status = 'open' AND due_at <= %(now)s), min(due_at) FILTER (WHERE status = 'open' AND due_at > %(now)s),
    count(*) FILTER (WHERE status = 'closing')
FROM period
"""
DUE = f"""
WITH period AS ({PERIODS})
SELECT organization_id, name, due_at FROM period WHERE status = 'open' AND due_at <= %(now)s
ORDER BY due_at, slug LIMIT {MOST_SHOWN}
"""
PAPERS = f"""
WITH period AS ({PERIODS})
SELECT count(*), count(*) FILTER (WHERE EXISTS (
        SELECT FROM billing_document AS document WHERE document.invoice_id = invoice.id AND document.kind = 'invoice')),
    count(mail.status), count(*) FILTER (WHERE mail.status = 'sent'), count(*) FILTER (WHERE mail.status IN ('failed', 'bounced')),
    count(*) FILTER (WHERE invoice.status = 'paid')
FROM period JOIN billing_invoice AS invoice
    ON invoice.organization_id = period.organization_id AND invoice.period_id = period.id AND invoice.status <> 'void'
LEFT JOIN billing_outboxmail AS mail ON mail.organization_id = invoice.organization_id AND mail.invoice_id = invoice.id
    AND mail.key = 'invoice:' || invoice.id
"""


@dataclass(frozen=True, slots=True)
class Due:
    """A period that could be closed and is not yet: its time of grace ended at `since`."""

    organization_id: int
    organization: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthProgress:
    """Counts of a month. Periods are closed, in their time of grace (the first until `next_due_at`), or due; `due` names the first
    of these; of the others drafts wait for a review. Void invoices count nowhere."""

    periods: int
    closed: int
    in_grace: int
    due_count: int
    next_due_at: datetime | None
    due: list[Due]
    drafts: int
    invoices: int
    documents: int
    mails: int
    mails_sent: int
    mails_failed: int
    paid: int

    @property
    def is_under_way(self) -> bool:
        """Whether something is left that goes on by itself."""
        waiting = self.mails - self.mails_sent - self.mails_failed
        return bool(self.due_count or self.documents < self.invoices or waiting)


def month_progress(*, first: date, now: datetime) -> MonthProgress:
    """Count the month that begins on `first`, in each organization's zone, over all tenants."""
    asked = {"first": first, "now": now}
    with connections["system"].cursor() as cursor:
        cursor.execute(COUNTS, asked)
        periods, closed, in_grace, due_count, next_due_at, drafts = cursor.fetchone()
        cursor.execute(DUE, asked)
        due = [Due(*row) for row in cursor.fetchall()]
        cursor.execute(PAPERS, asked)
        invoices, documents, mails, sent, failed, paid = cursor.fetchone()
    return MonthProgress(
        periods=periods,
        closed=closed,
        in_grace=in_grace,
        due_count=due_count,
        next_due_at=next_due_at,
        due=due,
        drafts=drafts,
        invoices=invoices,
        documents=documents,
        mails=mails,
        mails_sent=sent,
        mails_failed=failed,
        paid=paid,
    )
