"""A rotated key is the same key with a new secret; the one before works as long as its owner chose, and no longer."""

from datetime import timedelta

import pytest

from accounts.api_keys import InvalidKey, KeyRevoked, end_overlap, identify_api_key, revoke_api_key, rotate_api_key
from accounts.models import ApiKey, AuditEntry
from accounts.tenancy import tenant_scope
from tests import stories
from tests.stories import NOON

DAY = timedelta(hours=24)


@pytest.fixture
def acme(db: None) -> stories.Company:
    return stories.make_company("acme", now=NOON)


def rotate(company: stories.Company, overlap: timedelta, *, after: timedelta = timedelta(0)) -> str:
    with tenant_scope([company.organization.pk]):
        return rotate_api_key(key=company.key, overlap=overlap, now=NOON + after, actor=company.owner)


def works(secret: str, *, after: timedelta = timedelta(0)) -> bool:
    try:
        identify_api_key(secret, now=NOON + after)
    except InvalidKey:
        return False
    return True


def test_both_secrets_open_the_same_key_until_the_overlap_ends(acme: stories.Company) -> None:
    fresh = rotate(acme, DAY)
    old, new = identify_api_key(acme.secret, now=NOON), identify_api_key(fresh, now=NOON)
    assert old.api_key_id == new.api_key_id == acme.key.pk
    assert (old.expires_at, new.expires_at) == (NOON + DAY, None)
    assert works(acme.secret, after=DAY - timedelta(seconds=1))
    assert not works(acme.secret, after=DAY)
    assert works(fresh, after=DAY)


def test_without_overlap_the_old_secret_ends_at_once(acme: stories.Company) -> None:
    fresh = rotate(acme, timedelta(0))
    assert not works(acme.secret)
    assert works(fresh)


def test_rotating_again_ends_the_secret_before_the_last(acme: stories.Company) -> None:
    hour = timedelta(hours=1)
    second = rotate(acme, DAY)
    third = rotate(acme, DAY, after=hour)
    assert [works(secret, after=hour) for secret in (acme.secret, second, third)] == [False, True, True]


def test_a_wish_that_is_sent_twice_keeps_the_secret_that_programs_have(acme: stories.Company) -> None:
    """A click too many, or a program that heard no answer: nobody has the secret of the first answer."""
    moment = timedelta(seconds=2)
    lost = rotate(acme, DAY)
    fresh = rotate(acme, DAY, after=moment)
    assert [works(secret, after=moment) for secret in (acme.secret, lost, fresh)] == [True, False, True]


def test_who_wants_the_old_secret_gone_has_it_gone_at_once(acme: stories.Company) -> None:
    lost = rotate(acme, DAY)
    fresh = rotate(acme, timedelta(0), after=timedelta(seconds=2))
    assert [works(secret, after=timedelta(seconds=2)) for secret in (acme.secret, lost, fresh)] == [False, False, True]


def test_the_overlap_can_be_ended_early(acme: stories.Company) -> None:
    fresh = rotate(acme, DAY)
    with tenant_scope([acme.organization.pk]):
        key = ApiKey.objects.select_related("organization").get(pk=acme.key.pk)
        assert end_overlap(key=key, now=NOON, actor=acme.owner)
        assert not end_overlap(key=key, now=NOON, actor=acme.owner)
    assert (works(acme.secret), works(fresh)) == (False, True)


def test_revoking_ends_both_secrets_and_a_revoked_key_gets_no_new_one(acme: stories.Company) -> None:
    fresh = rotate(acme, DAY)
    with tenant_scope([acme.organization.pk]):
        revoke_api_key(key=acme.key, now=NOON, actor=acme.owner)
    assert not works(acme.secret)
    assert not works(fresh)
    with pytest.raises(KeyRevoked):
        rotate(acme, DAY)


def test_a_keys_own_end_holds_for_both_secrets(db: None) -> None:
    acme = stories.make_company("acme", now=NOON)
    key, secret = stories.make_key(acme.organization, now=NOON, expires_at=NOON + timedelta(hours=1))
    with tenant_scope([acme.organization.pk]):
        fresh = rotate_api_key(key=key, overlap=DAY, now=NOON, actor=None)
    assert identify_api_key(secret, now=NOON).expires_at == NOON + timedelta(hours=1)
    assert not works(fresh, after=timedelta(hours=1))


def test_the_audit_log_names_prefixes_not_secrets(acme: stories.Company) -> None:
    fresh = rotate(acme, DAY)
    with tenant_scope([acme.organization.pk]):
        entry = AuditEntry.objects.get(action="api_key.rotated")
    assert (entry.target, entry.detail) == (fresh[:13], {"previous": acme.secret[:13], "overlap_hours": 24})
