"""What a processor is told of an attempt, made from its committed rows, so that telling it again is the same call to the letter."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from accounts.tenancy import tenant_scope
from billing.models import Payment, PaymentMethod
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
from billing.site_addresses import invoice_page

PAGE_LIFE = timedelta(hours=2)
"""How long a hosted page can be paid on."""


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
    page = invoice_page(organization_slug=invoice.organization.slug, invoice_id=invoice.pk)
    payer = payment.started_by.email if payment.started_by else invoice.buyer.get("contact_email", "")
    usable = hint.startswith("pi_") == (method is not None)
    return Attempt(
        payment_id=payment.pk,
        idempotency_key=payment.idempotency_key,
        amount=payment.amount,
        currency=payment.currency,
        created_at=payment.created_at,
        expires_at=payment.created_at + PAGE_LIFE,
        description=f"{invoice.seller.get('legal_name', '')} {invoice.number}".strip(),
        language=invoice.language,
        payer_email=payer,
        success_url=f"{page}?payment=done",
        cancel_url=f"{page}?payment=canceled",
        reference=payment.reference or (hint if usable else ""),
        method=None if method is None else _stored(method),
    )


def _stored(method: PaymentMethod) -> StoredMethod:
    return StoredMethod(customer_reference=method.customer_reference, reference=method.reference, label=method.label)


def load_payment(*, organization_id: int, payment_id: UUID) -> Payment:
    """A payment with all that `attempt_of` reads. Raises Payment.DoesNotExist."""
    with tenant_scope([organization_id]):
        payments = Payment.objects.for_organization(organization_id)
        return payments.select_related("invoice__organization", "method", "started_by").get(pk=payment_id)
