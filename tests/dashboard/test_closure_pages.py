"""The page of data and closure: owners close with the name typed and a recent sign-in, everybody sees how far it is."""

import time_machine
from django.test import Client
from django.utils import timezone

from accounts.models import Organization, Role
from billing.exports.exporting import make_export
from billing.models import Closure, DataExport
from tests import stories
from tests.dashboard.conftest import Browse, text_of
from tests.stories import Cast

PAGE, ASK = "/o/acme/settings/close", "/o/acme/settings/close/ask"


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


def test_a_page_that_waits_for_an_export_looks_again_by_itself(cast: Cast, browse: Browse) -> None:
    client = browse(cast.acme.owner)
    client.post("/o/acme/settings/export")
    page = client.get(PAGE).content.decode()
    assert "htmx" in page and 'hx-get="/o/acme/settings/export/progress"' in page
    assert "hx-get" in client.get("/o/acme/settings/export/progress").content.decode()
    [export] = DataExport.objects.using("system").all()
    make_export(organization_id=cast.acme.organization.pk, export_id=export.pk, clock=timezone.now)
    assert client.get("/o/acme/settings/export/progress")["HX-Refresh"] == "true"
    assert f"/o/acme/settings/export/{export.pk}" in client.get(PAGE).content.decode()
