"""What a processor is told of an attempt, made from its committed rows, so that telling it again is the same call to the letter."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.utils import translation
from django.utils.translation import gettext

from accounts.models import User
from accounts.tenancy import tenant_scope
from billing.models import Invoice, Payment, PaymentMethod
from billing.processors.interface import (
    Answer,
    Attempt,
    Processor,
    ProcessorRefused,
    ProcessorUnreachable,
    Status,
    StoredMethod,
)
from billing.processors.selection import processors
from billing.site_addresses import credit_page, invoice_page

PAGE_LIFE = timedelta(hours=2)
"""How long a hosted page can be paid on."""


def lock_method(processor: Processor, organization_id: int, method_id: int) -> PaymentMethod:
    """A card that is to be charged: nobody removes it before the attempt is there. Raises PaymentMethod.DoesNotExist."""
    methods = PaymentMethod.objects.select_for_update().for_organization(organization_id)
    return methods.get(pk=method_id, processor=processor.name, removed_at=None)


def new_attempt(
    *,
    organization_id: int,
    processor: Processor,
    amount: Decimal,
    currency: str,
    key: str,
    now: datetime,
    invoice: Invoice | None = None,
    method: PaymentMethod | None = None,
    user: User | None = None,
) -> Payment:
    """The row of an attempt, for the caller to commit before anybody is called; `key` is its idempotency key."""
    return Payment.objects.create(
        organization_id=organization_id,
        invoice=invoice,
        processor=processor.name,
        amount=amount,
        currency=currency,
        status=Payment.Status.UNKNOWN,
        idempotency_key=key,
        method=method,
        started_by=user,
        created_at=now,
    )


def begin(processor: Processor, attempt: Attempt) -> Answer:
    """The call that an attempt is about: a charge of its method, or a hosted page."""
    return processor.charge(attempt) if attempt.method else processor.start_payment(attempt)


def conclude(processor: Processor, attempt: Attempt, answer: Answer) -> Answer:
    """A declined charge is canceled before we call it failed, so that it cannot succeed later. Raises ProcessorUnreachable."""
    if answer.status != Status.DECLINED:
        return answer
    try:
        ended = processor.cancel(replace(attempt, reference=answer.reference))
    except ProcessorRefused as refused:
        raise ProcessorUnreachable(f"refused: {refused.code}") from refused
    if ended is not None and ended.status == Status.SUCCEEDED:
        return ended
    if ended is None or ended.status not in (Status.FAILED, Status.CANCELED):
        raise ProcessorUnreachable("it could not be canceled")
    return replace(answer, status=Status.FAILED)


def processor_of(payment: Payment) -> Processor:
    """The processor that the attempt was made with. Raises ProcessorUnreachable if it is not set up any more."""
    found = processors().get(payment.processor)
    if found is None:
        raise ProcessorUnreachable(f"{payment.processor} is not set up")
    return found


def attempt_of(payment: Payment, *, hint: str = "") -> Attempt:
    """The call as its committed rows have it; only what never changes goes into it, or its key would not fit any more."""
    invoice, method = payment.invoice, payment.method
    told = _of_invoice(invoice) if invoice else _of_top_up(payment)
    usable = hint.startswith("pi_") == (method is not None)
    return Attempt(
        payment_id=payment.pk,
        idempotency_key=payment.idempotency_key,
        amount=payment.amount,
        currency=payment.currency,
        created_at=payment.created_at,
        expires_at=payment.created_at + PAGE_LIFE,
        description=told.description,
        language=told.language,
        payer_email=payment.started_by.email if payment.started_by else told.email,
        success_url=f"{told.page}?payment=done",
        cancel_url=f"{told.page}?payment=canceled",
        reference=payment.reference or (hint if usable else ""),
        method=None if method is None else _stored(method),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What an attempt says of what it pays; `email` is for those that nobody started."""

    description: str
    language: str
    page: str
    email: str


def _of_invoice(invoice: Invoice) -> _Told:
    return _Told(
        description=f"{invoice.seller.get('legal_name', '')} {invoice.number}".strip(),
        language=invoice.language,
        page=invoice_page(organization_slug=invoice.organization.slug, invoice_id=invoice.pk),
        email=invoice.buyer.get("contact_email", ""),
    )


def _of_top_up(payment: Payment) -> _Told:
    organization = payment.organization
    with translation.override(organization.language):
        description = gettext("InvoiceDream credit")
    return _Told(
        description=description,
        language=organization.language,
        page=credit_page(organization_slug=organization.slug),
        email="",
    )


def _stored(method: PaymentMethod) -> StoredMethod:
    return StoredMethod(customer_reference=method.customer_reference, reference=method.reference, label=method.label)


def load_payment(*, organization_id: int, payment_id: UUID) -> Payment:
    """A payment with all that `attempt_of` reads. Raises Payment.DoesNotExist."""
    with tenant_scope([organization_id]):
        payments = Payment.objects.for_organization(organization_id)
        return payments.select_related("organization", "invoice__organization", "method", "started_by").get(
            pk=payment_id
        )
