"""Customers are told in time: limits of which a share is used or that refuse calls, low credit, keys that were made or stopped.

What is worth telling is found by looking at rows, by a sweep of beat. A notice is written once, by its unique key, in
the transaction that queues its mails and webhooks; so two sweeps tell once, and what a sweep did not commit the next one finds.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, connections

from accounts.models import ApiKey, Currency, Organization, User
from accounts.tenancy import tenant_scope
from billing.models.notices import Notice
from billing.notifications.notices import announce, moment_text
from ledger.balances import UNSPENT
from ledger.models import KeyStop
from ledger.sweeping import others_go_on
from pricing.exact import exact_sum
from pricing.plain_text import plain

Kind = Notice.Kind
SHARES = (100, 80, 50)
"""Percent of a limit, the highest first: of several passed at once only that is told."""
STILL_TOLD = timedelta(hours=1)
"""So long after its window's end a crossing is told that no sweep saw in time."""
NEW_KEY = timedelta(days=1)
"""So long after it was made a key is told of that no sweep saw in time."""
USED = """
SELECT spend_limit.id, spend_limit.organization_id, spend_limit.api_key_id, spend_limit.member_id, spend_limit."window",
    spend_limit.hard, spend_limit.amount, spend_limit.held, spend_limit.spent * (1 + balance.tax_rate) AS spent, balance.currency,
    spend_limit.window_start, spend_limit.window_end, spend_limit.refused_at
FROM ledger_spendlimit AS spend_limit JOIN ledger_balance AS balance USING (organization_id)
WHERE spend_limit.window_end > %s AND (spend_limit.refused_at IS NOT NULL
    OR spend_limit.amount > 0 AND spend_limit.spent * (1 + balance.tax_rate) * 100 >= spend_limit.amount * %s)
ORDER BY 2, 1
"""
CREDIT = f"""
WITH credit AS (
    SELECT balance.organization_id, balance.currency, {UNSPENT} AS rest,
        coalesce(setting.low_credit, (%(defaults)s::jsonb ->> balance.currency)::numeric) AS threshold,
        balance.prepaid + balance.credit_line + balance.unbilled + balance.receivable > 0 AS used
    FROM ledger_balance AS balance LEFT JOIN billing_noticesetting AS setting USING (organization_id)
)
SELECT credit.organization_id, credit.currency, credit.rest, credit.threshold, notice.id AS notice_id
FROM credit LEFT JOIN billing_notice AS notice ON notice.organization_id = credit.organization_id
    AND notice.kind = 'credit.low' AND notice.ended_at IS NULL
WHERE notice.id IS NULL AND credit.used AND credit.rest < credit.threshold
    OR notice.id IS NOT NULL AND credit.rest >= credit.threshold
ORDER BY 1
"""  # noqa: S608  (names of our own columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Something to tell an organization, and one member whom it concerns beside owners and admins."""

    organization_id: int
    kind: Notice.Kind
    key: str
    data: Mapping[str, object]
    concerned: int | None = None


def notice_all(*, now: datetime) -> list[Notice]:
    """Tell everything that is worth telling at `now` and was not told. Looks at all tenants."""
    notices = []
    for found in (*_limits(now=now), *_low_credit(now=now), *_new_keys(now=now), *_stopped_keys()):
        with others_go_on(organization_id=found.organization_id, notice=found.key):
            notice = _tell(found, now=now)
            notices += [notice] if notice else []
    return notices


def _tell(found: Found, *, now: datetime) -> Notice | None:
    try:
        with tenant_scope([found.organization_id]):
            return announce(
                organization=Organization.objects.get(pk=found.organization_id),
                kind=found.kind,
                key=found.key,
                data=found.data,
                concerned=User.objects.filter(pk=found.concerned).first() if found.concerned else None,
                now=now,
            )
    except IntegrityError:
        return None  # another sweep tells of this organization's credit at this moment


def _limits(*, now: datetime) -> Iterator[Found]:
    rows = _rows(USED, [now - STILL_TOLD, min(SHARES)])
    keys = {row["api_key_id"] for row in rows}
    names = {key.pk: key for key in ApiKey.objects.using("system").filter(pk__in=keys)}
    people = {user.pk: user for user in User.objects.filter(pk__in={row["member_id"] for row in rows})}
    wanted = [pair for row in rows for pair in _of_limit(row, names.get(row["api_key_id"]), people)]
    told = _told(key for _found, after in wanted for key in after)
    for found, after in wanted:
        if not any((found.organization_id, key) in told for key in after):
            yield found


def _of_limit(
    row: Mapping[str, Any], key: ApiKey | None, people: Mapping[int, User]
) -> Iterator[tuple[Found, list[str]]]:
    """What to tell of a limit, each with the keys of notices after which it is not told any more."""
    amount, spent, member = row["amount"], row["spent"], people.get(row["member_id"])
    name = f"limit:{row['id']}:{row['window_start']:%Y%m%dT%H%MZ}:{plain(amount)}"
    data = {
        "limit_id": str(row["id"]),
        "subject": "member" if member else "api_key" if key else "organization",
        "api_key": {"id": str(key.pk), "name": key.name, "prefix": key.prefix} if key else None,
        "member": {"email": member.email, "name": member.name} if member else None,
        "window": row["window"],
        "window_start": moment_text(row["window_start"]),
        "resets_at": moment_text(row["window_end"]),
        "hard": row["hard"],
        "currency": row["currency"],
        "amount": plain(amount),
        "spent": plain(spent),
        "held": plain(row["held"]),
        "left": plain(exact_sum((amount, -spent, -row["held"]))),
    }
    concerned = member.pk if member else key.created_by_id if key else None
    organization_id = row["organization_id"]
    passed = next((share for share in SHARES if amount and spent * 100 >= amount * share), None)
    if passed is not None:
        found = Found(
            organization_id=organization_id,
            kind=Kind.LIMIT_THRESHOLD,
            key=f"{name}:{passed}",
            data=data | {"percent": passed},
            concerned=concerned,
        )
        yield found, [f"{name}:{share}" for share in SHARES if share >= passed]
    if row["refused_at"] is not None and passed != 100:  # a limit that is used up says by itself that it refuses
        refusing = data | {"refused_at": moment_text(row["refused_at"])}
        key_text = f"{name}:refusing"
        found = Found(
            organization_id=organization_id, kind=Kind.LIMIT_REFUSING, key=key_text, data=refusing, concerned=concerned
        )
        yield found, [key_text]


def _low_credit(*, now: datetime) -> Iterator[Found]:
    """What running calls hold is no spend: bursts do not make credit low. Ends notices of those who have enough again."""
    defaults = {currency.value: str(settings.LOW_CREDIT[currency]) for currency in Currency}
    for row in _rows(CREDIT, {"defaults": json.dumps(defaults)}):
        if row["notice_id"]:
            Notice.objects.using("system").filter(pk=row["notice_id"], ended_at=None).update(ended_at=now)
            continue
        data = {
            "currency": row["currency"],
            "left": plain(row["rest"]),
            "threshold": plain(row["threshold"]),
        }
        key = f"credit:{now.isoformat()}"
        yield Found(organization_id=row["organization_id"], kind=Kind.CREDIT_LOW, key=key, data=data)


def _new_keys(*, now: datetime) -> Iterator[Found]:
    """Keys that people made: whoever may spend the organization's money does not appear unseen."""
    made = ApiKey.objects.using("system").filter(created_at__gt=now - NEW_KEY, created_at__lte=now, revoked_at=None)
    keys = made.exclude(created_by=None).select_related("created_by").order_by("pk")
    named = {f"key:{key.pk}": key for key in keys}
    told = _told(named)
    for name, key in named.items():
        if (key.organization_id, name) in told:
            continue
        data = {
            "api_key": {"id": str(key.pk), "name": key.name, "prefix": key.prefix},
            "created_by": key.created_by.get_full_name() if key.created_by else "",
            "created_at": moment_text(key.created_at),
        }
        concerned = key.created_by_id
        yield Found(
            organization_id=key.organization_id, kind=Kind.KEY_CREATED, key=name, data=data, concerned=concerned
        )


def _stopped_keys() -> Iterator[Found]:
    stops = KeyStop.objects.using("system").filter(lifted_at=None).select_related("api_key__organization")
    named = {f"stop:{stop.pk}": stop for stop in stops.order_by("pk")}
    told = _told(named)
    for key, stop in named.items():
        if (stop.organization_id, key) in told:
            continue
        data = {
            "api_key": {"id": str(stop.api_key_id), "name": stop.api_key.name, "prefix": stop.api_key.prefix},
            "cause": stop.cause,
            "currency": stop.api_key.organization.billing_currency,
            "spent": plain(stop.spent),
            "allowed": plain(stop.allowed),
            "seconds": stop.seconds,
            "stopped_at": moment_text(stop.stopped_at),
        }
        concerned = stop.api_key.created_by_id
        yield Found(
            organization_id=stop.organization_id, kind=Kind.KEY_STOPPED, key=key, data=data, concerned=concerned
        )


def _told(keys: Iterable[str]) -> set[tuple[int, str]]:
    found = Notice.objects.using("system").filter(key__in=list(keys))
    return set(found.values_list("organization_id", "key"))


def _rows(query: str, parameters: Any) -> list[dict[str, Any]]:
    with connections["system"].cursor() as cursor:
        cursor.execute(query, parameters)
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
