"""Keep that a person agreed to a document, in which version and when (what a Korean site must be able to show)."""

from datetime import datetime

from django.conf import settings

from accounts.models import Consent, User


def give_consents(user: User, *, now: datetime) -> None:
    """Note the agreement to terms and privacy policy in their present versions; what was agreed to before stays."""
    versions = {"terms": settings.TERMS_VERSION, "privacy": settings.PRIVACY_VERSION}
    Consent.objects.bulk_create(
        [
            Consent(user=user, document=document, version=version, given_at=now)
            for document, version in versions.items()
        ],
        ignore_conflicts=True,
    )
