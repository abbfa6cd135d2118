"""What tests of cards on file share: leaving one on the stand-in's page, and paying with it from then on."""

from datetime import datetime

from accounts.tenancy import tenant_scope
from billing.cards import card_setups, payment_methods
from billing.models import CardSetup, PaymentMethod
from tests.billing.collecting import House, moment, submit, type_card


def start(house: House, *, now: datetime | None = None) -> CardSetup:
    return card_setups.start_setup(organization_id=house.organization_id, user=house.owner, now=now or moment())


def leave_card(house: House, card: str = "succeeds") -> PaymentMethod:
    """A card on file, left by the owner, who comes back from the page."""
    setup = start(house)
    status, location = type_card(setup.action_url, card)
    assert status == 303
    if "/authenticate/" in location:
        submit(house.processor.url + location, {"outcome": "passed"})
    done = card_setups.look_again(organization_id=house.organization_id, now=moment())
    assert done is not None and done.method_id is not None
    with tenant_scope([house.organization_id]):
        return PaymentMethod.objects.get(pk=done.method_id)


def pay_by_itself(house: House, *, on: bool = True) -> None:
    payment_methods.set_automatic(organization=house.invoice.organization, on=on, actor=house.owner, now=moment())


def methods(house: House) -> list[PaymentMethod]:
    with tenant_scope([house.organization_id]):
        return list(PaymentMethod.objects.order_by("pk"))


def setups(house: House) -> list[str]:
    with tenant_scope([house.organization_id]):
        return list(CardSetup.objects.order_by("created_at").values_list("status", flat=True))
