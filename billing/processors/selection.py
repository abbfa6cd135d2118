"""Which processors this installation has: bank transfers always, Stripe where `STRIPE_SECRET_KEY` is set."""

from collections.abc import Mapping
from functools import lru_cache

from django.conf import settings

from billing.processors import bank_transfer, stripe_processor
from billing.processors.bank_transfer import BankTransfer
from billing.processors.interface import Processor
from billing.processors.stripe_processor import StripeProcessor


class NoCardProcessor(Exception):
    """Cards are not taken here; customers transfer to the bank account on the invoice."""


@lru_cache(maxsize=4)
def _stripe(secret_key: str, webhook_secret: str, api_base: str) -> StripeProcessor:
    return StripeProcessor(secret_key=secret_key, webhook_secret=webhook_secret, api_base=api_base)


def processors() -> Mapping[str, Processor]:
    """All of them, by name."""
    found: dict[str, Processor] = {bank_transfer.NAME: BankTransfer()}
    if settings.STRIPE_SECRET_KEY:
        found[stripe_processor.NAME] = _stripe(
            settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET, settings.STRIPE_API_BASE
        )
    return found


def card_processor() -> Processor:
    """The one with a hosted page to pay on. Raises NoCardProcessor."""
    for processor in processors().values():
        if processor.capabilities.hosted_page:
            return processor
    raise NoCardProcessor
