"""The Celery application. It is a doorbell: work itself is found in PostgreSQL rows."""

import os

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("invoicedream")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def keep_django_logging(**_: object) -> None:
    """Leave logging to Django's LOGGING, so that worker and site write the same structured lines."""
    import logging.config

    from django.conf import settings

    logging.config.dictConfig(settings.LOGGING)
