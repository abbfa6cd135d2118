"""Row-level security stands behind every query: what a transaction did not name, it neither sees nor writes."""

import pytest
from django.db import DatabaseError, connections, transaction

from accounts.models import ApiKey, AuditEntry, BillingProfile, Membership, Organization
from accounts.tenancy import tenant_scope
from ledger.models import Balance
from metering.models import UsageEvent, UsageRollup
from tests import stories
from tests.stories import NOON, use

TENANT_MODELS = (Organization, Membership, BillingProfile, ApiKey, AuditEntry, Balance, UsageEvent, UsageRollup)


@pytest.fixture
def cast(db: None) -> stories.Cast:
    cast = stories.meet_the_cast(now=NOON)
    use(cast.acme.organization, at=NOON)
    use(cast.globex.organization, at=NOON)
    return cast


def test_outside_a_scope_there_is_nothing_to_see(cast: stories.Cast) -> None:
    for model in TENANT_MODELS:
        assert not model.objects.exists(), model.__name__


def test_a_scope_shows_its_own_rows_only(cast: stories.Cast) -> None:
    acme = cast.acme.organization.pk
    with tenant_scope([acme]):
        for model in TENANT_MODELS:
            column = "pk" if model is Organization else "organization_id"
            assert set(model.objects.values_list(column, flat=True)) == {acme}, model.__name__


def test_a_scope_may_span_tenants_and_ends_with_its_transaction(cast: stories.Cast) -> None:
    with tenant_scope([cast.acme.organization.pk, cast.globex.organization.pk]):
        assert UsageEvent.objects.count() == 2
    with transaction.atomic():
        assert UsageEvent.objects.count() == 0


def test_a_foreign_row_can_be_neither_changed_nor_planted(cast: stories.Cast) -> None:
    with tenant_scope([cast.globex.organization.pk]):
        assert Balance.objects.filter(pk=cast.acme.organization.pk).update(credit_line=10**9) == 0
        assert ApiKey.objects.filter(pk=cast.acme.key.pk).update(revoked_at=NOON) == 0
    planted = ApiKey.objects.using("system").get(pk=cast.acme.key.pk)
    planted.pk, planted.digest = None, b"planted"
    with pytest.raises(DatabaseError, match="row-level security"), tenant_scope([cast.globex.organization.pk]):
        planted.save(using="default", force_insert=True)


def test_what_was_charged_cannot_be_updated_or_deleted(cast: stories.Cast) -> None:
    for alias in ("default", "system"):
        for statement in ("UPDATE metering_usageevent SET amount = 0", "DELETE FROM metering_usageevent"):
            with (
                pytest.raises(DatabaseError, match="permission denied"),
                tenant_scope([cast.acme.organization.pk], using=alias),
                connections[alias].cursor() as cursor,
            ):
                cursor.execute(statement)


def test_the_audit_log_cannot_be_rewritten(cast: stories.Cast) -> None:
    with pytest.raises(DatabaseError, match="history"):
        AuditEntry.objects.using("system").filter(organization=cast.acme.organization).update(action="nothing")
