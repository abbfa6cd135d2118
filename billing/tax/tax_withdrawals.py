"""What was issued is taken back at the provider before the tax office has it, and what was taken back is issued anew.

A sheet that was taken back counts no more, as if it had never been; so what it proved must be said by another one, under a
`mgt_key` of its own. Of what the tax office has, an amendment is made instead: `tax_amendments`.
"""

from datetime import datetime
from uuid import UUID

from django.db.models import Q, QuerySet

from accounts.models import User
from accounts.tenancy import tenant_scope
from billing.buyers import billing_profile, buyer_details
from billing.models import Invoice, SupplyProof, TaxInvoice
from billing.tax.providers.interface import ProviderRefused
from billing.tax.tax_invoices import NotPossible, load, lock, note, provider_of, record_answer
from billing.tax.tax_planning import anew, original_of, plan_original
from billing.tax.tax_sheets import buyer_of, mgt_key_of
from billing.tax.tax_sums import missing
from pricing.exact import ZERO

Status = TaxInvoice.Status
SAME = (
    "reason",
    "amends",
    "write_date",
    "issue_from",
    "due_on",
    "purpose",
    "tax_type",
    "supply",
    "tax",
    "total",
    "items",
)
"""What an amendment says again; the parties and the remark, too."""
MAYBE_MISSING = Q(status=Status.CANCELED, replaced_by=None, invoice__proof__kind=SupplyProof.Kind.TAX_INVOICE)
"""Those of which `is_missing` has to be asked."""


class HasAmendments(NotPossible):
    """The provider may have amendments of it, which would amend nothing: they are taken back first."""


def cancel_issued(
    *, organization_id: int, tax_invoice_id: UUID, why: str, now: datetime, actor: User | None
) -> TaxInvoice:
    """Take back what was issued and is not sent yet. It comes back canceled, also where an earlier call had done it unheard.

    Who asked, and why, stands in the audit log before the provider is called. Raises NoProvider, HasAmendments, NotPossible,
    ProviderUnreachable: then ask again.
    """
    provider = provider_of(load(organization_id=organization_id, tax_invoice_id=tax_invoice_id))
    with tenant_scope([organization_id]):
        invoice, row = lock(organization_id=organization_id, tax_invoice_id=tax_invoice_id)
        if row.status != Status.ISSUED:
            raise NotPossible(f"tax invoice {row.mgt_key} is {row.status}")
        _refuse_with_amendments(row)
        note("tax_invoice.cancel_asked", row, invoice, now=now, actor=actor, reason=why)
    try:
        answer = provider.cancel(mgt_key=row.mgt_key, why=why)
    except ProviderRefused as refused:
        found = provider.look_up(mgt_key=row.mgt_key)
        if found is not None:
            row = record_answer(row, found, now=now, actor=actor)
        if row.status != Status.CANCELED:
            raise NotPossible(str(refused)) from None
        return row
    return record_answer(row, answer, now=now, actor=actor)


def issue_anew(*, organization_id: int, tax_invoice_id: UUID, now: datetime, actor: User | None) -> TaxInvoice:
    """Plan what says again what was taken back: an original with today's amounts and buyer, or the same amendment.

    Once for each that was taken back, whoever asks. Raises HasAmendments, and NotPossible where nothing is missing (any more).
    """
    with tenant_scope([organization_id]):
        invoice, row = lock(organization_id=organization_id, tax_invoice_id=tax_invoice_id)
        if not is_missing(row):
            raise NotPossible(f"what tax invoice {row.mgt_key} said is not missing")
        say = _amendment_anew if row.reason else _original_anew
        planned = say(row, invoice, now=now, actor=actor)
        note("tax_invoice.issued_anew", planned, invoice, now=now, actor=actor)
    return planned


def is_missing(row: TaxInvoice) -> bool:
    """Whether it was taken back, is needed, and nothing has taken its place. Needs the scope; exact while the invoice is locked."""
    invoice = row.invoice
    rows = TaxInvoice.objects.for_organization(row.organization_id)
    if row.status != Status.CANCELED or rows.filter(replaces=row).exists():
        return False
    if invoice.proof.kind != SupplyProof.Kind.TAX_INVOICE:
        return False
    gap = missing(invoice)
    if row.reason:
        stands = row.amends is not None and row.amends.status not in TaxInvoice.ENDED
        return stands and gap != ZERO and (row.total > ZERO) == (gap > ZERO) and abs(row.total) <= abs(gap)
    original = original_of(invoice)
    return gap > ZERO and original is not None and original.pk == row.pk


def _original_anew(row: TaxInvoice, invoice: Invoice, *, now: datetime, actor: User | None) -> TaxInvoice:
    _refuse_with_amendments(row)
    _amendments(row).filter(status__in=TaxInvoice.UNISSUED).update(status=Status.DROPPED)
    organization = invoice.organization
    buyer = buyer_of(buyer_details(organization, billing_profile(organization)))
    planned = plan_original(invoice, by_card=invoice.proof.by_card, now=now, actor=actor, buyer=buyer)
    assert planned is not None, "something of the invoice is left"
    return planned


def _amendment_anew(row: TaxInvoice, invoice: Invoice, *, now: datetime, actor: User | None) -> TaxInvoice:
    occasion = anew(row.occasion)
    return TaxInvoice.objects.create(
        organization_id=row.organization_id,
        invoice=invoice,
        replaces=row,
        occasion=occasion,
        mgt_key=mgt_key_of(invoice_id=invoice.pk, occasion=occasion),
        supplier=row.supplier,
        buyer=row.buyer,
        remark=row.remark,
        created_at=now,
        created_by=actor,
        **{name: getattr(row, name) for name in SAME},
    )


def _refuse_with_amendments(row: TaxInvoice) -> None:
    if _amendments(row).filter(status__in=TaxInvoice.WITH_PROVIDER).exists():
        raise HasAmendments(row.mgt_key)


def _amendments(row: TaxInvoice) -> QuerySet[TaxInvoice]:
    return TaxInvoice.objects.for_organization(row.organization_id).filter(amends=row)
