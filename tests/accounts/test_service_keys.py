"""Foreign gateways: which organizations they may report for, and keys that are issued, replaced and ended without a gap."""

from datetime import timedelta
from unittest.mock import patch

import pytest
from django.test import Client

from accounts import service_keys
from accounts.api_keys import InvalidKey, KeyRevoked, digest, identify_service_key
from accounts.models import AuditEntry, ServiceKey, Source
from tests import stories
from tests.stories import NOON


@pytest.fixture
def cast(db: None) -> stories.Cast:
    return stories.meet_the_cast(now=NOON)


def audited(action: str) -> AuditEntry:
    return AuditEntry.objects.using("system").filter(action=action).latest("pk")


def only_key(cast: stories.Cast) -> ServiceKey:
    return ServiceKey.objects.using("system").get(source=cast.source)


def test_of_an_issued_key_only_a_digest_is_stored(cast: stories.Cast) -> None:
    key, secret = service_keys.issue_service_key(source=cast.source, name="Second", now=NOON, actor=cast.operator)
    stored = ServiceKey.objects.using("system").get(pk=key.pk)
    assert bytes(stored.digest) == digest(secret) and secret not in " ".join(map(str, stored.__dict__.values()))
    entry = audited("service_key.issued")
    assert (entry.actor_id, entry.target) == (cast.operator.pk, key.prefix)
    assert entry.detail == {"source": "litellm", "name": "Second"} and secret not in str(entry.__dict__)


def test_a_name_is_given_to_one_working_key(cast: stories.Cast) -> None:
    with pytest.raises(service_keys.NameInUse):
        service_keys.issue_service_key(source=cast.source, name="Test", now=NOON)
    assert only_key(cast).name == "Test"
    service_keys.revoke_service_key(key_id=only_key(cast).pk, now=NOON, actor=None)
    service_keys.issue_service_key(source=cast.source, name="Test", now=NOON)


@pytest.mark.parametrize("slug", [Source.GATEWAY, Source.API])
def test_what_we_report_ourselves_has_no_service_key(cast: stories.Cast, slug: str) -> None:
    source = Source.objects.using("system").get(slug=slug)
    with pytest.raises(service_keys.BuiltIn):
        service_keys.issue_service_key(source=source, name="x", now=NOON)
    with pytest.raises(service_keys.BuiltIn):
        service_keys.allow_organizations(source_id=source.pk, organizations=[], now=NOON, actor=None)


def test_a_replaced_key_works_on_for_the_overlap(cast: stories.Cast) -> None:
    old = only_key(cast)
    new, secret = service_keys.rotate_service_key(
        key_id=old.pk, overlap=timedelta(hours=24), now=NOON, actor=cast.operator
    )
    before, after = NOON + timedelta(hours=23), NOON + timedelta(hours=24)
    assert identify_service_key(cast.service_secret, now=before).source_id == cast.source.pk
    assert identify_service_key(secret, now=after).service_key_id == new.pk
    with pytest.raises(InvalidKey):
        identify_service_key(cast.service_secret, now=after)
    assert audited("service_key.rotated").detail["previous"] == old.prefix


def test_a_key_is_replaced_once(cast: stories.Cast) -> None:
    old = only_key(cast)
    rotate = {"overlap": timedelta(0), "now": NOON, "actor": None}
    service_keys.rotate_service_key(key_id=old.pk, **rotate)
    with pytest.raises(service_keys.AlreadyReplaced):
        service_keys.rotate_service_key(key_id=old.pk, **rotate)
    service_keys.revoke_service_key(key_id=old.pk, now=NOON, actor=None)
    with pytest.raises(KeyRevoked):
        service_keys.rotate_service_key(key_id=old.pk, **rotate)
    assert ServiceKey.objects.using("system").filter(source=cast.source).count() == 2


def test_a_revoked_key_keeps_its_first_moment(cast: stories.Cast) -> None:
    key = only_key(cast)
    assert service_keys.revoke_service_key(key_id=key.pk, now=NOON, actor=cast.operator, reason="Leaked")
    assert not service_keys.revoke_service_key(key_id=key.pk, now=NOON + timedelta(days=1), actor=cast.operator)
    with pytest.raises(InvalidKey):
        identify_service_key(cast.service_secret, now=NOON)
    assert only_key(cast).revoked_at == NOON
    assert audited("service_key.revoked").detail == {"source": "litellm", "reason": "Leaked"}
    assert AuditEntry.objects.using("system").filter(action="service_key.revoked").count() == 1


def test_a_source_reports_for_those_it_was_allowed_to(cast: stories.Cast) -> None:
    acme, globex = cast.acme.organization, cast.globex.organization
    for organizations, allowed in (([globex], {globex.pk}), ([], set()), (None, None), ([acme], {acme.pk})):
        service_keys.allow_organizations(
            source_id=cast.source.pk, organizations=organizations, now=NOON, actor=cast.operator
        )
        assert identify_service_key(cast.service_secret, now=NOON).organization_ids == allowed
    assert audited("source.organizations_set").detail == {"organizations": ["acme"]}


def test_two_sources_have_two_names(cast: stories.Cast) -> None:
    with pytest.raises(service_keys.NameInUse):
        service_keys.add_source(slug="litellm", name="Another", organizations=None, now=NOON)
    assert Source.objects.using("system").filter(slug="litellm").count() == 1


def test_the_last_use_is_noted_to_the_minute(cast: stories.Cast) -> None:
    key_id = only_key(cast).pk
    for seconds, noted in ((0, 0), (59, 0), (60, 60)):
        service_keys.note_use(key_id=key_id, now=NOON + timedelta(seconds=seconds))
        assert only_key(cast).last_used_at == NOON + timedelta(seconds=noted)


def test_pushing_usage_is_a_use(cast: stories.Cast) -> None:
    assert only_key(cast).last_used_at is None
    with patch("accounts.authentication.RememberedReporterAuthentication._known", {}):
        answer = Client(headers=stories.bearer(cast.service_secret)).post(
            "/api/v1/usage/events", "[]", content_type="application/json"
        )
    assert answer.status_code == 200
    assert only_key(cast).last_used_at is not None
