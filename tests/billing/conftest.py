"""Fixtures of collection: a payment processor of this module's own, and acme's open invoice."""

from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings

from tests.billing.collecting import SECRET, House, meet_the_debtors, open_invoice
from tests.billing.tax_papers import TAX_SECRET
from tests.sandbox.processes import StandIn, stand_in


@pytest.fixture(scope="module")
def processor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """Stripe's stand-in. It delivers no webhooks by itself; tests do."""
    directory = str(tmp_path_factory.mktemp("payments"))
    with stand_in(
        "payments", "--directory", directory, "--settle-seconds", "600", "--webhook-pause", "0.05"
    ) as running:
        yield running


@pytest.fixture
def stripe_settings(processor: StandIn, settings: Settings) -> StandIn:
    """The stand-in, wiped, and set up as this installation's Stripe."""
    processor.call("PUT", "/sandbox/webhook-endpoint", {"url": "", "secret": SECRET})
    processor.call("DELETE", "/sandbox/state")
    processor.call("DELETE", "/sandbox/faults")
    settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET = "sk_test_collecting", SECRET
    settings.STRIPE_API_BASE = processor.url
    return processor


@pytest.fixture
def house(db: None, stripe_settings: StandIn) -> House:
    cast = meet_the_debtors()
    return House(cast, open_invoice(cast.acme), stripe_settings)


@pytest.fixture(scope="module")
def tax_office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """The stand-in of the provider of tax invoices and of the tax office. It transmits when a test says so."""
    directory = str(tmp_path_factory.mktemp("tax"))
    with stand_in("tax", "--directory", directory, "--secret-key", TAX_SECRET, "--transmit-seconds", "9999") as running:
        yield running


@pytest.fixture
def popbill(tax_office: StandIn, settings: Settings) -> StandIn:
    """The stand-in, wiped, and set up as this installation's provider."""
    tax_office.call("DELETE", "/sandbox/state")
    tax_office.call("DELETE", "/sandbox/faults")
    settings.POPBILL_LINK_ID, settings.POPBILL_SECRET_KEY = "TESTER", TAX_SECRET
    settings.POPBILL_BASE_URL = settings.POPBILL_AUTH_URL = settings.NTS_BASE_URL = tax_office.url
    settings.NTS_SERVICE_KEY = "key"
    return tax_office
