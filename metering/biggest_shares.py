"""The models and the keys that cost most in a range, for the overview, which everybody looks at.

Both come from one walk over the rollups, with what is shown only; `usage_queries` tells all groups with all their counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connections

from accounts.models import ApiKey, Organization
from catalog.models import LanguageModel

SUMS_BY_EITHER = """
SELECT model_id, api_key_id, sum(requests), sum(amount) FROM metering_usagerollup
WHERE organization_id = %s AND hour >= %s AND hour < %s GROUP BY GROUPING SETS ((model_id), (api_key_id))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Calls and exact amount of a model, of a key, or (neither) of what no key was named for."""

    model: LanguageModel | None = None
    api_key: ApiKey | None = None
    requests: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class BiggestShares:
    """The highest amount first."""

    models: Sequence[Share]
    keys: Sequence[Share]


def biggest_shares(*, organization: Organization, start: datetime, end: datetime, at_most: int) -> BiggestShares:
    """Of the half-open range [start, end) of full hours, as many of each as `at_most`. Needs the organization's tenant scope."""
    with connections["default"].cursor() as cursor:
        cursor.execute(SUMS_BY_EITHER, [organization.pk, start, end])
        rows = sorted(cursor.fetchall(), key=lambda row: (-row[3], row[0] or row[1]))
    by_model = [row for row in rows if row[0] is not None][:at_most]
    by_key = [row for row in rows if row[0] is None][:at_most]
    models = LanguageModel.objects.in_bulk([model_id for model_id, *_rest in by_model])
    keys = ApiKey.objects.for_organization(organization).in_bulk([key_id for _none, key_id, *_rest in by_key])
    return BiggestShares(
        models=[Share(model=models[row[0]], requests=int(row[2]), amount=row[3]) for row in by_model],
        keys=[Share(api_key=keys.get(row[1]), requests=int(row[2]), amount=row[3]) for row in by_key],
    )
