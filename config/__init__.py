"""Wiring: settings, URLs, processes and the mapping of errors to HTTP. Nothing imports it."""

from config.celery import app as celery_app

__all__ = ["celery_app"]
