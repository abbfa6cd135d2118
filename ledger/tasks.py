"""Doorbells of the ledger."""

from celery import shared_task
from django.utils import timezone

from ledger import call_keys, credit_expiry, questions


@shared_task
def question_expired_holds() -> None:
    """Mark holds whose call never settled."""
    questions.question_expired(now=timezone.now())


@shared_task
def expire_credits() -> None:
    """Post what is left of credits whose time is over."""
    credit_expiry.expire_due(now=timezone.now())


@shared_task
def forget_call_keys() -> None:
    """Let go of callers' names for calls of more than a day ago."""
    call_keys.forget_old(now=timezone.now())
