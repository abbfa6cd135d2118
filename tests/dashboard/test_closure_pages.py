"""The page of data and closure: owners close with the name typed and a recent sign-in, everybody sees how far it is."""

from datetime import timedelta
from urllib.parse import quote_plus

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from accounts.models import Organization, Role
from billing.closures import asking, finishing
from billing.exports.exporting import make_export
from billing.models import Closure, DataExport
from billing.sellers import set_seller
from tests import stories
from tests.dashboard.conftest import Browse, text_of
from tests.stories import Cast, code_of, give_second_factor

PAGE, ASK = "/o/acme/settings/close", "/o/acme/settings/close/ask"
EXPORT = "/o/acme/settings/export"


def recently(client: Client) -> Client:
    """The reader gives the password."""
    answer = client.post("/accounts/reauthenticate/", {"password": stories.PASSWORD, "next": ASK})
    assert (answer.status_code, answer["Location"]) == (302, ASK)
    return client


def status(cast: Cast) -> str:
    return Organization.objects.using("system").get(pk=cast.acme.organization.pk).status


def test_who_signed_in_long_ago_gives_the_password_first(cast: Cast, browse: Browse) -> None:
    client = browse(cast.acme.owner)
    answer = client.post(ASK, {"when": "at_once", "name": "Acme"})
    assert (answer.status_code, answer["Location"]) == (302, ASK)
    assert "reauthenticate" in client.get(ASK)["Location"]
    assert status(cast) == "active"


def test_the_name_is_typed_before_anything_happens(cast: Cast, browse: Browse) -> None:
    client = recently(browse(cast.acme.owner))
    assert client.post(ASK, {"when": "at_once", "name": "Globex"}).status_code == 422
    assert status(cast) == "active"


def test_a_name_that_looks_like_markup_is_shown_as_it_is(cast: Cast, browse: Browse) -> None:
    Organization.objects.using("system").filter(pk=cast.acme.organization.pk).update(name="<i>Acme</i>")
    page = recently(browse(cast.acme.owner)).get(ASK).content.decode()
    assert "<i>Acme" not in page
    assert "&lt;i&gt;Acme&lt;/i&gt; to confirm" in page


def test_an_owner_closes_at_the_months_end_and_takes_it_back(cast: Cast, browse: Browse) -> None:
    client = recently(browse(cast.acme.owner))
    assert client.post(ASK, {"when": "month_end", "name": "Acme"}).status_code == 302
    assert "Take the closure back" in text_of(client.get(PAGE))
    assert "This organization will be closed" in text_of(client.get("/o/acme/keys"))
    client.post(f"{PAGE}/take-back")
    assert Closure.objects.using("system").get().status == "withdrawn"


def test_after_the_end_pages_are_read_and_nothing_is_changed(
    cast: Cast, browse: Browse, clock: time_machine.Traveller
) -> None:
    client = recently(browse(cast.acme.owner))
    client.post(ASK, {"when": "at_once", "name": "Acme"})
    assert status(cast) == "closing"
    assert "What is left" in text_of(client.get(PAGE))
    answer = client.post("/o/acme/settings", {"name": "Another"})
    assert (answer.status_code, answer["Location"]) == (302, PAGE)
    assert Organization.objects.using("system").get(pk=cast.acme.organization.pk).name == "Acme"
    assert client.get("/o/acme/invoices").status_code == 200
    viewer = stories.make_member(cast.acme.organization, Role.VIEWER, now=stories.NOON)
    assert browse(viewer).post(ASK, {"when": "at_once", "name": "Acme"}).status_code == 403


def test_after_the_end_the_overview_tells_what_was_and_expects_nothing(cast: Cast, browse: Browse) -> None:
    client = recently(browse(cast.acme.owner))
    before = text_of(client.get("/o/acme/"))
    client.post(ASK, {"when": "at_once", "name": "Acme"})
    after = text_of(client.get("/o/acme/"))
    for offered in ("Expected for the month", "Available to spend", "Make your first call"):
        assert offered in before
        assert offered not in after
    assert "This month so far" in after


@pytest.mark.parametrize(("language", "words"), [("ko", "최종 청구서"), ("en", "Final invoice")])
def test_a_final_invoice_is_called_so_on_its_page_and_in_the_list(
    cast: Cast, browse: Browse, clock: time_machine.Traveller, language: str, words: str
) -> None:
    set_seller(now=stories.NOON, **stories.SELLER)
    stories.use(cast.acme.organization, at=stories.NOON, usage=stories.TokenUsage(input_tokens=100_000_000))
    asking.ask_for_closure(
        organization_id=cast.acme.organization.pk, at_once=True, now=timezone.now(), actor=cast.acme.owner
    )
    clock.shift(timedelta(minutes=2))
    [final] = finishing.finish_all(now=timezone.now())
    client = browse(cast.acme.owner, language=language)
    assert words in text_of(client.get("/o/acme/invoices"))
    page = client.get(f"/o/acme/invoices/{final.pk}")
    assert text_of(page).count(words) >= 2, "title and badge"


def test_what_is_over_is_not_offered_any_more(cast: Cast, browse: Browse, clock: time_machine.Traveller) -> None:
    """The month that was cut is shown until it is invoiced; no month after it, nothing to spend, no calls that could be refused."""
    set_seller(now=stories.NOON, **stories.SELLER)
    stories.use(cast.acme.organization, at=stories.NOON, usage=stories.TokenUsage(input_tokens=100_000_000))
    asking.ask_for_closure(
        organization_id=cast.acme.organization.pk, at_once=True, now=timezone.now(), actor=cast.acme.owner
    )
    clock.shift(timedelta(minutes=2))

    def page() -> str:
        return text_of(browse(cast.acme.owner).get("/o/acme/invoices"))

    assert page().count("Not invoiced yet") == 1 and "In progress" not in page()
    finishing.finish_all(now=timezone.now())
    assert not [words for words in ("Not invoiced yet", "Available to spend", "Top up credit") if words in page()]
    clock.shift(timedelta(days=20))
    assert "An invoice is overdue" in page() and "will be refused" not in page()


def test_an_export_is_asked_for_with_the_password_and_made_without_a_second_click(cast: Cast, browse: Browse) -> None:
    client = browse(cast.acme.owner)
    answer = client.post(EXPORT)
    assert (answer.status_code, answer["Location"]) == (302, f"/accounts/reauthenticate/?next={quote_plus(EXPORT)}")
    assert not exports()
    answer = client.post("/accounts/reauthenticate/", {"password": "guessed", "next": EXPORT})
    assert answer.status_code == 200 and not exports()
    answer = client.post("/accounts/reauthenticate/", {"password": stories.PASSWORD, "next": EXPORT})
    assert (answer.status_code, answer["Location"], len(exports())) == (302, PAGE, 1)


def test_who_has_a_second_factor_may_give_its_code_instead(
    cast: Cast, browse: Browse, clock: time_machine.Traveller
) -> None:
    secret = give_second_factor(cast.acme.owner)
    client = browse(cast.acme.owner)
    client.post(EXPORT)
    assert "/accounts/2fa/reauthenticate/" in client.get("/accounts/reauthenticate/").content.decode()
    answer = client.post("/accounts/2fa/reauthenticate/", {"code": code_of(secret), "next": EXPORT})
    assert (answer.status_code, len(exports())) == (302, 1)


def test_the_file_needs_the_password_too_and_ten_minutes_later_again(
    cast: Cast, browse: Browse, clock: time_machine.Traveller
) -> None:
    client = recently(browse(cast.acme.owner))
    client.post(EXPORT)
    [export] = exports()
    make_export(organization_id=cast.acme.organization.pk, export_id=export.pk, clock=timezone.now)
    address = f"{EXPORT}/{export.pk}"
    assert client.get(address)["Content-Type"] == "application/zip"
    clock.shift(timedelta(minutes=11))
    answer = client.get(address)
    assert (answer.status_code, answer["Location"]) == (302, f"/accounts/reauthenticate/?next={quote_plus(PAGE)}")
    assert "you can download the file" in text_of(client.get(answer["Location"]))
    assert recently(client).get(address).status_code == 200


def exports() -> list[DataExport]:
    return list(DataExport.objects.using("system").all())


def test_a_page_that_waits_for_an_export_looks_again_by_itself(cast: Cast, browse: Browse) -> None:
    client = recently(browse(cast.acme.owner))
    client.post(EXPORT)
    page = client.get(PAGE).content.decode()
    assert "htmx" in page and 'hx-get="/o/acme/settings/export/progress"' in page
    assert "hx-get" in client.get("/o/acme/settings/export/progress").content.decode()
    [export] = exports()
    make_export(organization_id=cast.acme.organization.pk, export_id=export.pk, clock=timezone.now)
    assert client.get("/o/acme/settings/export/progress")["HX-Refresh"] == "true"
    assert f"/o/acme/settings/export/{export.pk}" in client.get(PAGE).content.decode()
