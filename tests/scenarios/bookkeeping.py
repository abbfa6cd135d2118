"""Whom the stories of single customers follow: what they use, what they are sent, what their papers, pages and books say."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.core import mail
from django.core.management import call_command
from django.test import Client

from accounts.tenancy import tenant_scope
from billing import cycle, delivery, documents, invoicing
from billing.models import Invoice
from billing.papers.paper_kinds import Subject
from ledger import holds
from ledger.models import LedgerEntry
from pricing.tokens import TokenUsage
from tests.billing.papers import pages
from tests.ledger.test_limits import request
from tests.stories import Company, use

TEN_MILLION = 726
"""Won, VAT included, that ten million tokens cost."""


@dataclass(frozen=True)
class Story:
    """A customer, whose month is October 2026 in Seoul unless the story lives elsewhere."""

    company: Company
    month: str = "2026-10"

    @property
    def id(self) -> int:
        return self.company.organization.pk

    def uses(self, won: int, *, at: datetime) -> None:
        """Usage that costs so many won, VAT included."""
        use(self.company.organization, at=at, usage=TokenUsage(input_tokens=won * 10_000_000 // TEN_MILLION))

    def may_call(self, won: int, *, at: datetime) -> bool:
        """Whether a call of at most so many won is let through; if so, it is over at once and was for nothing."""
        hold = request(self.company, won, at=at)
        admitted = holds.reserve([hold]) == [None]
        if admitted:
            holds.release(organization_id=self.id, hold_id=hold.id, now=at)
        return admitted

    def invoiced(self, *, now: datetime) -> Invoice:
        [due] = [one for one in cycle.periods_of_month(self.month, now=now) if one.organization_id == self.id]
        invoice = invoicing.close_period(organization_id=self.id, period_id=due.period_id, now=now)
        assert invoice is not None
        return invoice

    def letters(self, *, now: datetime) -> list[str]:
        """Subject, text and names of attachments of the mails that leave now."""
        mail.outbox = []
        delivery.deliver_waiting(now=now)
        return [
            "\n".join((letter.subject, str(letter.body), *(str(part[0]) for part in letter.attachments)))
            for letter in mail.outbox
        ]

    def paper(self, subject: Subject, *, now: datetime) -> str:
        """What the PDF of a row says, without white space."""
        with tenant_scope([self.id]):
            return "".join(pages(documents.open_document(subject, now=now)))

    def asks(self, path: str) -> Any:
        answer = Client().get(f"/api/v1/{path}", headers=self.company.headers)
        assert answer.status_code == 200, answer.content
        return answer.json()

    def booked(self) -> dict[str, Decimal]:
        """What stands on each account of the journal; below zero is a credit."""
        sums: dict[str, Decimal] = {}
        with tenant_scope([self.id]):
            for account, amount in LedgerEntry.objects.values_list("account", "amount"):
                sums[account] = sums.get(account, Decimal(0)) + amount
        return {account: amount.normalize() for account, amount in sums.items() if amount}


def october(day: int, hour: int = 12) -> datetime:
    """That hour of that day in Seoul."""
    return datetime(2026, 10, day, hour - 9, tzinfo=UTC)


def audited() -> None:
    """Every invariant holds."""
    call_command("audit")
