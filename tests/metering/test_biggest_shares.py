"""The overview's first models and keys are those of the whole tables."""

from datetime import timedelta

from accounts.tenancy import tenant_scope
from ledger.periods import month_bounds
from metering.biggest_shares import biggest_shares
from metering.usage_queries import usage_by
from tests import stories


def test_the_first_models_and_keys_are_those_of_the_whole_tables(db: None) -> None:
    cast = stories.meet_the_cast(now=stories.NOON)
    organization = cast.acme.organization
    stories.make_model("mistralai/dear", now=stories.NOON, pricing={"prompt": "0.000001", "completion": "0.000002"})
    other, _secret = stories.make_key(organization, now=stories.NOON, name="Other")
    calls = [(other.pk, "mistralai/dear"), (cast.acme.key.pk, stories.DEVSTRAL), (None, stories.DEVSTRAL)]
    for key_id, model in [*calls, calls[0], calls[2], calls[2]]:
        stories.use(organization, at=stories.NOON, api_key_id=key_id, model=model)
    stories.use(organization, at=stories.NOON - timedelta(days=30), model="mistralai/dear")
    stories.use(cast.globex.organization, at=stories.NOON, model="mistralai/dear")
    start, end = month_bounds(stories.NOON, zone=organization.zone)
    with tenant_scope([organization.pk]):
        models, keys = (
            usage_by(organization=organization, start=start, end=end, group_by=by).rows for by in ("model", "api_key")
        )
        shares = biggest_shares(organization=organization, start=start, end=end, at_most=2)
    assert [row.model.name for row in models if row.model] == ["Dear", "Devstral Small"]
    assert [row.api_key and row.api_key.name for row in keys] == ["Other", None, "Test"]
    assert [(one.model, one.requests, one.amount) for one in shares.models] == [
        (row.model, row.total.requests, row.total.amount) for row in models[:2]
    ]
    assert [(one.api_key, one.requests, one.amount) for one in shares.keys] == [
        (row.api_key, row.total.requests, row.total.amount) for row in keys[:2]
    ]
