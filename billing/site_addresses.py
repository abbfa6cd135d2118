"""Addresses of the site that go out into the world, in mails and to processors. The pages themselves are the dashboard's."""

from uuid import UUID

from django.conf import settings


def invoice_page(*, organization_slug: str, invoice_id: UUID) -> str:
    """Where an invoice is read and paid."""
    return f"{settings.SITE_URL}/o/{organization_slug}/invoices/{invoice_id}"


def credit_page(*, organization_slug: str) -> str:
    """Where prepaid credit is bought."""
    return f"{settings.SITE_URL}/o/{organization_slug}/credit"


def payment_methods_page(*, organization_slug: str) -> str:
    """Where an organization keeps its cards."""
    return f"{settings.SITE_URL}/o/{organization_slug}/settings/payment"


def credit_note_page(*, organization_slug: str, note_id: UUID | str) -> str:
    """Where a credit note is read."""
    return f"{settings.SITE_URL}/o/{organization_slug}/credit-notes/{note_id}"


def invoices_page(*, organization_slug: str) -> str:
    """Where all invoices are listed, those that are overdue on top."""
    return f"{settings.SITE_URL}/o/{organization_slug}/invoices"


def keys_page(*, organization_slug: str) -> str:
    """Where API keys are seen, made and revoked."""
    return f"{settings.SITE_URL}/o/{organization_slug}/keys"


def limits_page(*, organization_slug: str) -> str:
    """Where limits are seen and changed, and stopped keys let go again."""
    return f"{settings.SITE_URL}/o/{organization_slug}/limits"


def webhooks_page(*, organization_slug: str) -> str:
    """Where an organization says which addresses hear of notices."""
    return f"{settings.SITE_URL}/o/{organization_slug}/webhooks"


def closure_page(*, organization_slug: str) -> str:
    """Where an organization is closed, and how far that is; its data export, too."""
    return f"{settings.SITE_URL}/o/{organization_slug}/settings/close"
