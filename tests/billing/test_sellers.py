"""The seller's details: a change is a new version, what was invoiced before keeps what it says."""

from datetime import timedelta

import pytest
from django.db import DatabaseError

from accounts.models import AuditEntry
from accounts.registration_numbers import InvalidRegistrationNumber
from billing import sellers
from billing.models import InvoiceSeries, Seller
from billing.papers.document_parts import bank_account, supplier
from tests import stories
from tests.billing.collecting import AFTER, meet_the_debtors, open_invoice
from tests.stories import NOON, SELLER


def versions() -> int:
    return Seller.objects.using("system").count()


def test_new_details_hold_from_their_moment_on(db: None) -> None:
    operator = stories.make_operator(now=NOON)
    moving = NOON + timedelta(days=7)
    sellers.set_seller(now=NOON, **SELLER)
    sellers.set_seller(now=NOON, since=moving, actor=operator, **(SELLER | {"address": "부산광역시"}))
    assert sellers.current_seller(now=moving - timedelta(seconds=1)).address == SELLER["address"]
    assert sellers.current_seller(now=moving).address == "부산광역시"
    entry = AuditEntry.objects.using("system").filter(action="seller.set").latest("pk")
    assert (entry.actor_id, entry.target, entry.detail["changed"]) == (operator.pk, SELLER["legal_name"], ["address"])


def test_what_is_entered_later_for_the_same_moment_wins(db: None) -> None:
    sellers.set_seller(now=NOON, **SELLER)
    sellers.set_seller(now=NOON, **(SELLER | {"phone": "02-000-0000"}))
    assert sellers.current_seller(now=NOON).phone == "02-000-0000"


def test_the_same_details_again_change_nothing(db: None) -> None:
    first = sellers.set_seller(now=NOON, payment_days=10, **SELLER)
    again = sellers.set_seller(now=NOON + timedelta(days=1), payment_days=10, **SELLER)
    assert (again.pk, versions()) == (first.pk, 1)
    sellers.set_seller(now=NOON + timedelta(days=1), payment_days=20, **SELLER)
    assert versions() == 2


def test_the_registration_number_is_checked_and_written_one_way(db: None) -> None:
    seller = sellers.set_seller(now=NOON, **(SELLER | {"registration_number": "2208162517"}))
    assert seller.registration_number == "220-81-62517"
    with pytest.raises(InvalidRegistrationNumber):
        sellers.set_seller(now=NOON, **(SELLER | {"registration_number": "220-81-62518"}))
    assert (versions(), InvoiceSeries.objects.using("system").count()) == (1, 1)


def test_an_invoice_keeps_the_seller_it_was_finalized_with(db: None) -> None:
    cast = meet_the_debtors()
    before = open_invoice(cast.acme)
    sellers.set_seller(now=AFTER, **(SELLER | {"legal_name": "주식회사 새이름"}))
    after = open_invoice(cast.globex)
    before.refresh_from_db(using="system")
    assert (before.seller["legal_name"], after.seller["legal_name"]) == (SELLER["legal_name"], "주식회사 새이름")


def test_a_version_can_be_neither_changed_nor_deleted(db: None) -> None:
    seller = sellers.set_seller(now=NOON, **SELLER)
    with pytest.raises(DatabaseError, match="history"):
        Seller.objects.using("system").filter(pk=seller.pk).update(address="elsewhere")
    with pytest.raises(DatabaseError, match="history"):
        seller.delete(using="system")


def test_the_block_on_the_invoice_can_be_seen_beforehand(db: None) -> None:
    seller = Seller(**SELLER, business_type="정보통신업", business_item="LLM API", legal_name_en="InvoiceLab Inc.")
    shown = sellers.snapshot(seller)
    assert ["상호", SELLER["legal_name"]] in supplier(shown, "ko")["rows"]
    assert "InvoiceLab Inc." in [value for _label, value in supplier(shown, "en")["rows"]]
    assert f"{SELLER['bank_name']} {SELLER['bank_account']}" in bank_account(shown, "en")["rows"]
