"""Whose money a credit is: the keys of credits that were paid for name the payment, or what stands in its place."""

import re

from django.db.models import Q

from billing.models import Payment
from ledger.models import CreditGrant

CREDIT_KEY = re.compile(
    r"(?:(?P<bought>top-up|overpayment)|credit_note|returned):(?P<source>[0-9a-f-]{36})(?::(?P<credit>\d+))?"
)
"""Keys of credit that was paid for (`top_up_settlement.top_up_key`, `settlement.overpayment_key`), and of what a note or a voided
invoice gave back, for money or in place of other credit, whose id stands last. No card bought credit under any other key."""


def payments_behind(grant: CreditGrant) -> list[Payment]:
    """The payments that a paid credit is the money of, the newest first; none where an operator entered it. Needs the scope."""
    named = CREDIT_KEY.fullmatch(grant.key)
    if named is None or grant.kind != CreditGrant.Kind.PAID:
        return []
    if named["credit"]:
        return payments_behind(CreditGrant.objects.for_organization(grant.organization_id).get(pk=named["credit"]))
    paid = Payment.objects.for_organization(grant.organization_id).filter(status=Payment.Status.SUCCEEDED)
    mine = Q(pk=named["source"]) if named["bought"] else Q(invoice__credit_notes__pk=named["source"])
    return list(paid.filter(mine).order_by("-settled_at", "-pk"))
