"""Doorbells of the ledger."""

from celery import shared_task
from django.utils import timezone

from ledger import questions


@shared_task
def question_expired_holds() -> None:
    """Mark holds whose call never settled."""
    questions.question_expired(now=timezone.now())
