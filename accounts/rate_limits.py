"""What a key, or all keys of an organization together, may ask of the gateway in a minute. Holds within seconds."""

from datetime import datetime

from django.conf import settings

from accounts.audit_log import write_audit_entry
from accounts.models import ApiKey, Organization, User

HIGHEST_RATE = 2_000_000_000
"""What may be set as requests or tokens a minute; more fits into no column."""


def set_key_rates(*, key: ApiKey, requests: int | None, tokens: int | None, now: datetime, actor: User | None) -> None:
    """Give a key its own limits a minute; None is none of its own. What its organization may holds beside them."""
    ApiKey.objects.filter(pk=key.pk, organization_id=key.organization_id).update(
        requests_per_minute=requests, tokens_per_minute=tokens
    )
    write_audit_entry(
        action="api_key.rate_limits_set",
        target=key.prefix,
        organization=key.organization,
        actor=actor,
        now=now,
        detail={"requests": requests, "tokens": tokens},
    )


def set_organization_rates(
    *, organization: Organization, requests: int | None, tokens: int | None, now: datetime, actor: User
) -> None:
    """Give an organization limits a minute of its own; None is what the settings say for all. Done by operators."""
    rows = Organization.objects.using("system").filter(pk=organization.pk)
    rows.update(requests_per_minute=requests, tokens_per_minute=tokens)
    write_audit_entry(
        action="organization.rate_limits_set",
        target=organization.slug,
        organization=organization,
        actor=actor,
        now=now,
        detail={"requests": requests, "tokens": tokens},
        using="system",
    )


def rates_of(organization: Organization) -> tuple[int, int]:
    """Requests and tokens a minute that hold for the organization; 0 is no limit."""
    return rates_that_hold(requests=organization.requests_per_minute, tokens=organization.tokens_per_minute)


def rates_that_hold(*, requests: int | None, tokens: int | None) -> tuple[int, int]:
    """An organization's limits a minute where it has none of its own (None): those of the settings; 0 is no limit."""
    return requests or settings.RATE_LIMIT_REQUESTS, tokens or settings.RATE_LIMIT_TOKENS
