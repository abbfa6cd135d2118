"""영세율 and its like: from the running month on, with evidence; all figures of a customer go by it."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command

from accounts.models import AuditEntry, BillingProfile
from accounts.tenancy import tenant_scope
from billing import cycle, estimates, invoicing
from billing.models import Invoice, SupplyProof
from billing.onboarding import open_account
from billing.sellers import set_seller
from billing.tax.tax_treatments import EvidenceMissing, MonthNotInvoiced, NotInThisCurrency, set_treatment
from ledger.models import Balance
from tests import stories
from tests.billing.collecting import AFTER, LOTS, OCTOBER
from tests.stories import SELLER, Cast, use

EVIDENCE = "용역공급계약서, 외화입금증명서 (drive/tax/acme)"


@pytest.fixture
def cast(db: None) -> Cast:
    found = stories.meet_the_cast(now=OCTOBER - timedelta(days=5))
    set_seller(now=OCTOBER - timedelta(days=30), **SELLER)
    use(found.acme.organization, at=OCTOBER, usage=LOTS)
    return found


def treat(cast: Cast, treatment: str = "zero_rated", *, evidence: str = EVIDENCE, at=OCTOBER) -> BillingProfile:  # type: ignore[no-untyped-def]
    return set_treatment(
        organization=cast.acme.organization,
        treatment=treatment,
        evidence=evidence,
        reason="overseas buyer",
        actor=cast.operator,
        now=at,
    )


def close(cast: Cast) -> Invoice:
    [period] = cycle.periods_of_month("2026-10", now=AFTER)
    invoice = invoicing.close_period(organization_id=period.organization_id, period_id=period.period_id, now=AFTER)
    assert invoice is not None
    return invoice


@pytest.mark.parametrize("treatment", ["zero_rated", "out_of_scope"])
def test_the_running_month_is_taxed_so_on_estimate_and_invoice(cast: Cast, treatment: str) -> None:
    treat(cast, treatment)
    organization = cast.acme.organization
    with tenant_scope([organization.pk]):
        assert Balance.objects.get().tax_rate == 0
        assert estimates.tax_rate_of(organization) == 0
        assert AuditEntry.objects.get(action="tax_treatment.set").detail["evidence"] == EVIDENCE
    invoice = close(cast)
    assert (invoice.tax_treatment, invoice.subtotal, invoice.tax, invoice.total) == (treatment, 6600, 0, 6600)
    with tenant_scope([organization.pk]):
        assert SupplyProof.objects.get(invoice=invoice).kind == "none", (
            "no registration number: the evidence is what is kept"
        )
    call_command("audit")


def test_a_month_that_waits_to_be_invoiced_keeps_its_treatment(cast: Cast) -> None:
    with pytest.raises(MonthNotInvoiced):
        treat(cast, at=AFTER)
    invoice = close(cast)
    assert invoice.tax == 660
    treat(cast, at=AFTER)


def test_anything_but_the_standard_needs_evidence(cast: Cast) -> None:
    with pytest.raises(EvidenceMissing):
        treat(cast, evidence="")
    treat(cast)
    treat(cast, "standard", evidence="")
    with tenant_scope([cast.acme.organization.pk]):
        assert Balance.objects.get().tax_rate == Decimal("0.10")


def test_who_is_billed_in_dollars_is_not_standard(cast: Cast) -> None:
    abroad = open_account(name="Initech", slug="initech", owner=None, now=OCTOBER, currency="USD")
    with pytest.raises(NotInThisCurrency):
        set_treatment(organization=abroad, treatment="standard", evidence="", reason="x", actor=None, now=OCTOBER)
    set_treatment(organization=abroad, treatment="zero_rated", evidence=EVIDENCE, reason="x", actor=None, now=OCTOBER)
    use(abroad, at=OCTOBER, usage=LOTS)
    [period] = [one for one in cycle.periods_of_month("2026-10", now=AFTER) if one.organization_id == abroad.pk]
    invoice = invoicing.close_period(organization_id=abroad.pk, period_id=period.period_id, now=AFTER)
    assert invoice is not None
    assert (invoice.currency, invoice.tax_treatment, invoice.tax, invoice.total) == (
        "USD",
        "zero_rated",
        0,
        invoice.subtotal,
    )
    with tenant_scope([abroad.pk]):
        assert SupplyProof.objects.get(invoice=invoice).kind == "none"
