"""Make operators: people of ours who may enter the console, after setting up a second factor."""

from datetime import datetime

from allauth.account.models import EmailAddress
from django.db import transaction

from accounts.audit_log import write_audit_entry
from accounts.models import User


def create_operator(*, email: str, password: str, now: datetime) -> User:
    """An operator whose address counts as verified, because another operator or a shell vouches for it."""
    with transaction.atomic(using="system"):
        user = User(email=email, is_staff=True, is_superuser=True, date_joined=now)
        user.set_password(password)
        user.save(using="system")
        EmailAddress.objects.using("system").create(user=user, email=user.email, verified=True, primary=True)
        write_audit_entry(action="operator.created", target=user.email, actor=user, now=now, using="system")
    return user
