"""Why a webhook did not arrive, as one of a few reasons: the addresses in a system's error are nobody's business."""

import aiohttp

from billing.models import WebhookDelivery
from billing.models.notices import HTTP
from billing.notifications.webhook_addresses import NotPublic

Failure = WebhookDelivery.Failure
ERRORS = (aiohttp.ClientError, OSError, ValueError)
"""What a call may raise; TimeoutError is an OSError."""


def failure_of(error: BaseException) -> str:
    """Of a call that raised one of ERRORS."""
    if isinstance(error, aiohttp.ClientSSLError):
        return Failure.CERTIFICATE
    if isinstance(error, NotPublic | ValueError) or isinstance(getattr(error, "os_error", None), NotPublic):
        return Failure.REFUSED
    if isinstance(error, TimeoutError):
        return Failure.TIMED_OUT
    if isinstance(error, aiohttp.ClientConnectorError) or not isinstance(error, aiohttp.ClientError):
        return Failure.UNREACHABLE
    return Failure.UNREADABLE


def failure_of_status(status: int) -> str:
    """Of a call that was answered; nothing for any 2xx."""
    if 200 <= status < 300:
        return ""
    return Failure.REDIRECTED if 300 <= status < 400 else f"{HTTP}{status}"
