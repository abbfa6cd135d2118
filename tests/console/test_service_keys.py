"""Foreign gateways in the console: whom they may report for, and their keys, whose secrets are seen once."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.api_keys import InvalidKey, identify_service_key
from accounts.models import AuditEntry, ServiceKey, Source
from tests.console.conftest import audited, carry_out, refused
from tests.stories import Cast

NEW_KEY = "/do/service-keys/new/"


def confirmed(client: Client, address: str, values: dict[str, Any]) -> Any:
    """The answer to the confirmation, after reading what will happen."""
    client.cookies["invoicedream_language"] = "en"
    review = client.post(address, values)
    assert review.status_code == 200 and review.context["review"], review.context["form"].errors
    return client.post(address, values | {"confirm": "1"})


def only_key(cast: Cast) -> ServiceKey:
    return ServiceKey.objects.get(source=cast.source)


class TestSources:
    def test_one_is_added_for_some_organizations(self, operator: Client, cast: Cast) -> None:
        acme = cast.acme.organization
        values = {"name": "Portkey", "slug": "portkey", "organizations": [str(acme.pk)]}
        carry_out(operator, "/do/sources/new/", values)
        source = Source.objects.get(slug="portkey")
        assert [one.organization for one in source.allowed.all()] == [acme] and not source.all_organizations
        assert audited("source.added", cast).detail == {"organizations": ["acme"]}

    @pytest.mark.parametrize("wrong", [{"slug": "litellm"}, {"slug": "with space"}, {"name": ""}, {"everybody": "on"}])
    def test_bad_input_is_refused(self, operator: Client, cast: Cast, wrong: dict[str, str]) -> None:
        values = {"name": "Portkey", "slug": "portkey", "organizations": [str(cast.acme.organization.pk)]}
        refused(operator, "/do/sources/new/", values | wrong)
        assert not Source.objects.filter(name="Portkey").exists()

    def test_whom_it_may_report_for_is_changed(self, operator: Client, cast: Cast) -> None:
        address = reverse("admin:allow_organizations", args=[cast.source.pk])
        form = operator.get(address).context["form"]
        assert set(form.initial["organizations"]) == {cast.acme.organization.pk, cast.globex.organization.pk}
        carry_out(operator, address, {"organizations": [str(cast.globex.organization.pk)]})
        assert identify_service_key(cast.service_secret, now=cast.source.created_at).organization_ids == {
            cast.globex.organization.pk
        }
        carry_out(operator, address, {"everybody": "on"})
        assert audited("source.organizations_set", cast).detail == {"organizations": "all"}

    def test_our_own_are_left_alone(self, operator: Client) -> None:
        for source in Source.objects.filter(slug__in=["gateway", "api"]):
            assert operator.get(reverse("admin:allow_organizations", args=[source.pk])).status_code == 404
            page = operator.get(reverse("admin:accounts_source_change", args=[source.pk]))
            assert page.status_code == 200 and page.context["deeds"] == []
            refused(operator, NEW_KEY, {"source": str(source.pk), "name": "x"})


class TestKeys:
    def test_the_secret_of_an_issued_key_is_shown_once(
        self, operator: Client, cast: Cast, caplog: pytest.LogCaptureFixture
    ) -> None:
        answer = confirmed(operator, NEW_KEY, {"source": str(cast.source.pk), "name": "Production"})
        assert answer.status_code == 200 and "no-store" in answer["Cache-Control"]
        secret, key = answer.context["secret"], answer.context["key"]
        assert identify_service_key(secret, now=key.created_at).service_key_id == key.pk
        assert secret in answer.content.decode()
        assert audited("service_key.issued", cast).target == key.prefix
        places = [
            reverse("admin:accounts_servicekey_change", args=[key.pk]),
            reverse("admin:accounts_servicekey_changelist"),
        ]
        for address in [*places, reverse("admin:accounts_source_change", args=[cast.source.pk]), "/"]:
            text = operator.get(address).content.decode()
            assert secret not in text and bytes(ServiceKey.objects.get(pk=key.pk).digest).hex() not in text
        assert secret not in caplog.text and secret not in str([entry.__dict__ for entry in AuditEntry.objects.all()])
        assert secret not in str(dict(operator.session)) and secret not in str(operator.cookies)

    def test_sending_it_twice_issues_one(self, operator: Client, cast: Cast) -> None:
        values = {"source": str(cast.source.pk), "name": "Production"}
        confirmed(operator, NEW_KEY, values)
        assert "working key of this name" in refused(operator, NEW_KEY, values | {"confirm": "1"}, steps=1)
        assert ServiceKey.objects.filter(name="Production").count() == 1

    def test_without_a_gateway_one_must_be_added_first(self, operator: Client, cast: Cast) -> None:
        ServiceKey.objects.all().delete()
        cast.source.delete()
        page = operator.get(NEW_KEY).content.decode()
        assert reverse("admin:add_source") in page and "<textarea" not in page and 'name="source"' not in page

    def test_a_key_is_replaced_with_an_overlap(self, operator: Client, cast: Cast) -> None:
        old = only_key(cast)
        address = reverse("admin:rotate_service_key", args=[old.pk])
        answer = confirmed(operator, address, {"overlap": "24"})
        new = answer.context["key"]
        old.refresh_from_db()
        assert (old.expires_at - new.created_at).total_seconds() == 24 * 3600
        assert audited("service_key.rotated", cast).detail["previous"] == old.prefix
        again = operator.post(address, {"overlap": "24", "confirm": "1"})
        assert again.status_code == 422 and ServiceKey.objects.count() == 2
        links = [
            deed["url"]
            for deed in operator.get(reverse("admin:accounts_servicekey_change", args=[old.pk])).context["deeds"]
        ]
        assert links == [reverse("admin:revoke_service_key", args=[old.pk])]

    def test_a_key_is_revoked_after_saying_why(self, operator: Client, cast: Cast) -> None:
        key = only_key(cast)
        address = reverse("admin:revoke_service_key", args=[key.pk])
        refused(operator, address, {"reason": ""})
        carry_out(operator, address, {"reason": "Leaked"})
        with pytest.raises(InvalidKey):
            identify_service_key(cast.service_secret, now=key.created_at)
        assert audited("service_key.revoked", cast).detail["reason"] == "Leaked"
        operator.post(address, {"reason": "Again", "confirm": "1"})
        assert AuditEntry.objects.filter(action="service_key.revoked").count() == 1

    def test_the_list_says_for_whom_and_since_when_unused(self, operator: Client, cast: Cast) -> None:
        operator.cookies["invoicedream_language"] = "en"
        text = operator.get(reverse("admin:accounts_servicekey_changelist")).content.decode()
        assert "Acme, Globex" in text and "Works" in text and only_key(cast).prefix in text
