"""사업자등록 상태: asked after a number was saved and before a tax invoice; who has stopped gets none, and reads why."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest
from pytest_django.fixtures import Settings

from accounts import business_standing
from accounts.models import BillingProfile, BusinessStanding
from accounts.profiles import update_profile
from accounts.registry.interface import BusinessFacts, RegistryFailed
from accounts.registry.nts import TaxOffice
from accounts.tenancy import tenant_scope
from billing.models import Invoice, TaxInvoice
from tests.billing.collecting import AFTER, open_invoice
from tests.billing.tax_papers import ACME_NUMBER, DETAILS, LATER, Desk, business_desk
from tests.sandbox.processes import StandIn

Status = TaxInvoice.Status
GLOBEX_NUMBER = "220-81-62517"
DIGITS = ACME_NUMBER.replace("-", "")


@pytest.fixture
def desk(db: None, popbill: StandIn) -> Desk:
    return business_desk(popbill)


def standing(desk: Desk) -> BusinessStanding:
    with tenant_scope([desk.organization_id]):
        return BusinessStanding.objects.get(number=ACME_NUMBER)


def becomes(desk: Desk, code: str) -> None:
    desk.provider.call("PUT", f"/sandbox/businesses/{DIGITS}", {"b_stt_cd": code})


def test_a_saved_number_is_asked_about_by_the_sweep(desk: Desk) -> None:
    assert (standing(desk).state, standing(desk).checked_at) == ("", None)
    assert business_standing.check_waiting(now=LATER) == 1
    assert (standing(desk).state, standing(desk).tax_type) == ("active", "부가가치세 일반과세자")
    assert business_standing.check_waiting(now=LATER + timedelta(days=2)) == 0
    assert business_standing.check_waiting(now=LATER + timedelta(days=31)) == 1


def test_saving_never_waits_for_a_register_that_is_away(desk: Desk) -> None:
    desk.provider.order({"fault": "status-503", "where": "nts-businessman", "times": 3})
    assert business_standing.check_waiting(now=LATER) == 0
    assert business_standing.check_waiting(now=LATER + timedelta(seconds=30)) == 0, "not again at once"
    assert standing(desk).checked_at is None
    desk.provider.call("DELETE", "/sandbox/faults")
    assert business_standing.check_waiting(now=LATER + timedelta(hours=1)) == 1


@pytest.mark.parametrize(
    ("code", "state"), [("02", "suspended"), ("03", "closed"), ("", "unregistered")], ids=["02", "03", "none"]
)
def test_who_has_stopped_gets_no_tax_invoice_and_the_reason_is_kept(desk: Desk, code: str, state: str) -> None:
    becomes(desk, code)
    assert desk.run() == 0 and desk.sheets() == []
    assert (desk.original().status, desk.original().failure) == (Status.FAILED, f"buyer_{state}")
    assert standing(desk).state == state


def test_another_number_is_tried_by_itself(desk: Desk) -> None:
    becomes(desk, "03")
    desk.run()
    assert desk.run(LATER + timedelta(minutes=5)) == 0
    changes = {"registration_number": "124-81-00998"}
    update_profile(organization=desk.cast.acme.organization, changes=changes, actor=None, now=LATER)
    assert desk.run(LATER + timedelta(minutes=10)) == 1
    assert desk.sheets()[0]["sheet"]["invoiceeCorpNum"] == "1248100998"


def test_an_answer_of_today_is_not_asked_for_again(desk: Desk) -> None:
    business_standing.check_waiting(now=LATER)
    becomes(desk, "03")
    assert desk.run(LATER + timedelta(hours=1)) == 1


def test_without_an_answer_it_is_issued_all_the_same(desk: Desk) -> None:
    desk.provider.order({"fault": "drop", "where": "nts-businessman"})
    assert desk.run() == 1


def test_numbers_from_before_are_asked_about_too(desk: Desk, settings: Settings) -> None:
    with tenant_scope([desk.organization_id]):
        BusinessStanding.objects.all().delete()
        assert BillingProfile.objects.get().registration_number == ACME_NUMBER
    assert business_standing.note_numbers_in_use() == 1
    assert business_standing.note_numbers_in_use() == 0
    settings.NTS_SERVICE_KEY = ""
    assert business_standing.check_waiting(now=LATER) == 0


def test_thousands_of_tax_invoices_do_not_wait_for_a_register_that_is_away(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each question takes up to 20 seconds to fail."""
    asked: list[str] = []

    def away(_self: TaxOffice, numbers: Sequence[str]) -> Mapping[str, BusinessFacts]:
        asked.extend(numbers)
        raise RegistryFailed("away")

    neighbour = Desk(desk.cast, globex_as_a_business(desk), desk.provider)
    monkeypatch.setattr(TaxOffice, "look_up", away)
    assert (desk.run(), len(asked)) == (2, 1)
    assert neighbour.original().status == Status.ISSUED
    last = business_standing.fresh_standing(
        organization_id=desk.organization_id, number=ACME_NUMBER, now=LATER + timedelta(minutes=2)
    )
    assert (last.state, len(asked)) == ("", 2), "after a while it is asked again"


def globex_as_a_business(desk: Desk) -> Invoice:
    globex = desk.cast.globex
    update_profile(
        organization=globex.organization,
        changes=DETAILS | {"registration_number": GLOBEX_NUMBER},
        actor=globex.owner,
        now=AFTER,
    )
    return open_invoice(globex)
