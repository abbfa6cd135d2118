"""Secrets are shown once, stored as digests, refused when mistyped, revoked or expired."""

from datetime import timedelta

import pytest

from accounts import api_keys
from accounts.models import ApiKey, AuditEntry
from accounts.tenancy import tenant_scope
from tests import stories
from tests.stories import NOON


def test_a_mistyped_secret_is_refused_without_a_look_at_the_database() -> None:
    secret = api_keys.new_secret(api_keys.API_PREFIX)
    assert api_keys.is_well_formed(secret)
    for position in range(len(api_keys.API_PREFIX), len(secret)):
        other = "x" if secret[position] != "x" else "y"
        assert not api_keys.is_well_formed(secret[:position] + other + secret[position + 1 :])
    for odd in ("", "sk-abc", secret + "0", secret[:-1], secret.replace("idk", "ink")):
        assert not api_keys.is_well_formed(odd)


def test_secrets_have_at_least_160_random_bits() -> None:
    assert len(api_keys.ALPHABET) ** api_keys.RANDOM_LENGTH > 2**160
    assert len({api_keys.new_secret(api_keys.API_PREFIX) for _number in range(1000)}) == 1000


@pytest.fixture
def cast(db: None) -> stories.Cast:
    return stories.meet_the_cast(now=NOON)


def test_a_key_speaks_for_its_organization(cast: stories.Cast) -> None:
    identity = api_keys.identify_api_key(cast.acme.secret, now=NOON)
    assert (identity.organization_slug, identity.api_key_id) == ("acme", cast.acme.key.pk)


def test_only_a_digest_is_stored(cast: stories.Cast) -> None:
    key = ApiKey.objects.using("system").get(pk=cast.acme.key.pk)
    stored = " ".join(str(value) for value in key.__dict__.values())
    assert cast.acme.secret not in stored
    assert bytes(key.digest) == api_keys.digest(cast.acme.secret)
    assert cast.acme.secret.startswith(key.prefix) and len(key.prefix) < 16


def test_a_revoked_key_is_refused_and_keeps_its_first_moment(cast: stories.Cast) -> None:
    with tenant_scope([cast.acme.organization.pk]):
        api_keys.revoke_api_key(key=cast.acme.key, now=NOON, actor=cast.acme.owner)
        api_keys.revoke_api_key(key=cast.acme.key, now=NOON + timedelta(days=1), actor=cast.acme.owner)
    with pytest.raises(api_keys.InvalidKey):
        api_keys.identify_api_key(cast.acme.secret, now=NOON)
    assert ApiKey.objects.using("system").get(pk=cast.acme.key.pk).revoked_at == NOON
    revocations = AuditEntry.objects.using("system").filter(action="api_key.revoked")
    assert [entry.actor_id for entry in revocations] == [cast.acme.owner.pk]


def test_a_key_is_refused_from_the_moment_it_expires(cast: stories.Cast) -> None:
    _key, secret = stories.make_key(cast.acme.organization, now=NOON, expires_at=NOON + timedelta(hours=1))
    api_keys.identify_api_key(secret, now=NOON + timedelta(minutes=59))
    with pytest.raises(api_keys.InvalidKey):
        api_keys.identify_api_key(secret, now=NOON + timedelta(hours=1))


def test_a_service_key_names_its_source_and_whom_it_may_report_for(cast: stories.Cast) -> None:
    identity = api_keys.identify_service_key(cast.service_secret, now=NOON)
    assert identity.source_slug == "litellm"
    assert identity.organization_ids == {cast.acme.organization.pk, cast.globex.organization.pk}
    _source, everywhere = stories.make_service_source(now=NOON, slug="own")
    assert api_keys.identify_service_key(everywhere, now=NOON).organization_ids is None


def test_keys_of_one_kind_are_not_taken_for_the_other(cast: stories.Cast) -> None:
    with pytest.raises(api_keys.InvalidKey):
        api_keys.identify_service_key(cast.acme.secret, now=NOON)
    with pytest.raises(api_keys.InvalidKey):
        api_keys.identify_api_key(cast.service_secret, now=NOON)
