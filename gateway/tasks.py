"""Doorbells of the gateway."""

from celery import shared_task
from django.utils import timezone

from gateway import questions, upstream_watch


@shared_task
def answer_questions() -> None:
    """Learn what calls cost whose end nobody saw."""
    questions.answer_questions(clock=timezone.now)


@shared_task
def watch_upstream_credit() -> None:
    """Notice that our credit with an upstream runs out before it has."""
    upstream_watch.watch_credit(now=timezone.now())


@shared_task
def compare_upstream_bills() -> None:
    """Compare what upstreams billed with what was recorded."""
    upstream_watch.compare_bills(now=timezone.now())
