"""What an organization says of itself is checked, kept and noted; what was invoiced before stays as it was."""

import pytest

from accounts.models import AuditEntry, BillingProfile
from accounts.profiles import update_organization, update_profile
from accounts.registration_numbers import InvalidRegistrationNumber
from accounts.tenancy import tenant_scope
from tests import stories
from tests.stories import NOON


@pytest.fixture
def acme(db: None) -> stories.Company:
    return stories.make_company("acme", now=NOON)


def change(company: stories.Company, **changes: str) -> BillingProfile:
    return update_profile(organization=company.organization, changes=changes, actor=company.owner, now=NOON)


def trail(company: stories.Company) -> list[tuple[str, object]]:
    with tenant_scope([company.organization.pk]):
        entries = AuditEntry.objects.filter(actor=company.owner).exclude(action="organization.created").order_by("pk")
        return [(entry.action, entry.detail) for entry in entries]


def test_the_registration_number_is_kept_in_one_form(acme: stories.Company) -> None:
    profile = change(acme, registration_number=" 2208162517 ", legal_name=" 주식회사 에이크미 ")
    assert (profile.registration_number, profile.legal_name) == ("220-81-62517", "주식회사 에이크미")
    assert change(acme, registration_number="").registration_number == ""


@pytest.mark.parametrize("number", ["220-81-62518", "220-81", "000-00-00000", "२२०-८१-६२५१७", "220-81-62517x"])
def test_a_wrong_registration_number_changes_nothing(acme: stories.Company, number: str) -> None:
    with pytest.raises(InvalidRegistrationNumber):
        change(acme, registration_number=number, legal_name="Wrong")
    with tenant_scope([acme.organization.pk]):
        assert BillingProfile.objects.get().legal_name == ""
    assert trail(acme) == []


def test_the_audit_log_notes_what_changed_and_forgets_nobody_needlessly(acme: stories.Company) -> None:
    change(acme, legal_name="주식회사 에이크미", contact_email="pay@acme.example", address="")
    change(acme, legal_name="주식회사 에이크미")
    assert trail(acme) == [
        ("billing_profile.changed", {"legal_name": "주식회사 에이크미", "contact_email": "changed"}),
    ]


def test_only_fields_of_the_profile_can_be_changed(acme: stories.Company) -> None:
    change(acme, tax_treatment="zero_rated", grace_hours="0", organization_id="99")
    with tenant_scope([acme.organization.pk]):
        assert BillingProfile.objects.get().tax_treatment == "standard"


def test_name_and_language(acme: stories.Company) -> None:
    changed = update_organization(
        organization=acme.organization, name=" Acme Korea ", language="en", actor=acme.owner, now=NOON
    )
    assert (changed.name, changed.language) == ("Acme Korea", "en")
    update_organization(organization=acme.organization, actor=acme.owner, now=NOON)
    assert trail(acme) == [("organization.changed", {"name": "Acme Korea", "language": "en"})]
