"""The secrets of the demo: made up for each installation, written to var/demo.json (readable by its owner only) and nowhere else.

What the file holds and the database still honours stays as it is; what is lost or outdated is issued anew.
"""

import json
import os
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import generate_totp_secret
from django.conf import settings

from accounts.api_keys import (
    DEFAULT_SCOPES,
    InvalidKey,
    identify_api_key,
    identify_service_key,
    issue_api_key,
    revoke_api_key,
)
from accounts.models import ApiKey, Organization, Scope, Source, User
from accounts.service_keys import issue_service_key, revoke_service_key
from accounts.tenancy import tenant_scope
from demo.cast import ACME, FOREIGN_GATEWAY, GLOBEX, OPERATOR, QUICKSTART, Company

Facts = dict[str, str]


def write_access(*, path: Path, installation: str, now: datetime) -> Facts:
    """Bring `path` up to date and return what it says. `installation` tells the data it belongs to from a later one."""
    before = _read(path)
    kept = before if before.get("installation") == installation else {}
    facts = {
        "installation": installation,
        "site": settings.SITE_URL,
        "gateway": settings.GATEWAY_URL,
        "console": settings.CONSOLE_URL,
        "mailbox": settings.MAILBOX_URL,
        "organization": ACME.slug,
        "email": ACME.owner.email,
        "password": kept.get("password") or _new_password([person.email for person in ACME.people]),
        "api_key": _honoured(identify_api_key, kept.get("api_key"), now=now) or _new_api_key(ACME, now=now),
        "globex_email": GLOBEX.owner.email,
        "globex_password": kept.get("globex_password") or _new_password([person.email for person in GLOBEX.people]),
        "globex_api_key": _honoured(identify_api_key, kept.get("globex_api_key"), now=now)
        or _new_api_key(GLOBEX, now=now),
        "operator_email": OPERATOR.email,
        "operator_password": kept.get("operator_password") or _new_password([OPERATOR.email]),
        "operator_totp_secret": kept.get("operator_totp_secret") or _new_totp_secret(OPERATOR.email),
        "service_key": _honoured(identify_service_key, kept.get("service_key"), now=now) or _new_service_key(now=now),
    }
    if facts != before:
        _write(path, facts)
    return facts


def _read(path: Path) -> Facts:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _write(path: Path, facts: Mapping[str, str]) -> None:
    """As a whole or not at all, and never readable by others, not even for a moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(facts, file, indent=2, ensure_ascii=False)
        file.write("\n")
    os.replace(draft, path)


def _new_password(emails: list[str]) -> str:
    """One password for the members of a company."""
    password = secrets.token_urlsafe(12)
    for user in User.objects.db_manager("system").filter(email__in=emails):
        user.set_password(password)
        user.save(using="system", update_fields=["password"])
    return password


def _new_api_key(company: Company, *, now: datetime) -> str:
    """The secret of a fresh key for visitors; the lost one before it ends."""
    organization = Organization.objects.using("system").get(slug=company.slug)
    owner = User.objects.db_manager("system").get(email=company.owner.email)
    with tenant_scope([organization.pk]):
        for lost in ApiKey.objects.for_organization(organization).filter(name=QUICKSTART, revoked_at=None):
            revoke_api_key(key=lost, now=now, actor=None)
        _key, secret = issue_api_key(
            organization=organization,
            name=QUICKSTART,
            now=now,
            created_by=owner,
            scopes=(*DEFAULT_SCOPES, Scope.USAGE_WRITE),
        )
    return secret


def _new_service_key(*, now: datetime) -> str:
    source = Source.objects.using("system").get(slug=FOREIGN_GATEWAY[0])
    for lost in source.service_keys.using("system").filter(revoked_at=None):
        revoke_service_key(key_id=lost.pk, now=now, actor=None, reason="lost")
    _key, secret = issue_service_key(source=source, name="Demo", now=now)
    return secret


def _new_totp_secret(email: str) -> str:
    secret: str = generate_totp_secret()
    Authenticator.objects.using("system").update_or_create(
        user=User.objects.db_manager("system").get(email=email),
        type=Authenticator.Type.TOTP,
        defaults={"data": {"secret": get_adapter().encrypt(secret)}},
    )
    return secret


def _honoured(identify: Callable[..., object], secret: str | None, *, now: datetime) -> str | None:
    """`secret`, if the key it belongs to is still good."""
    try:
        identify(secret or "", now=now)
    except InvalidKey:
        return None
    return secret
