"""The payment processor's fixtures: one process for all of them, wiped before each test."""

from collections.abc import Iterator

import pytest
import stripe

from tests.sandbox.listener import SECRET, Listener, listening
from tests.sandbox.processes import StandIn, stand_in

SPEED = ("--webhook-pause", "0.05", "--settle-seconds", "0.3", "--webhook-secret", SECRET)


@pytest.fixture(scope="module")
def processor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with stand_in("payments", "--directory", str(tmp_path_factory.mktemp("payments")), *SPEED) as running:
        yield running


@pytest.fixture
def client(processor: StandIn) -> stripe.StripeClient:
    processor.call("PUT", "/sandbox/webhook-endpoint", {"url": ""})
    processor.call("DELETE", "/sandbox/state")
    processor.call("DELETE", "/sandbox/faults")
    return client_of(processor)


@pytest.fixture
def listener(processor: StandIn, client: stripe.StripeClient) -> Iterator[Listener]:
    with listening() as listener:
        processor.call("PUT", "/sandbox/webhook-endpoint", {"url": listener.url})
        yield listener
        processor.call("PUT", "/sandbox/webhook-endpoint", {"url": ""})


def client_of(processor: StandIn) -> stripe.StripeClient:
    return stripe.StripeClient("sk_test_any", base_addresses={"api": processor.url}, max_network_retries=0)
