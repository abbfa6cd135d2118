"""Invariants of metering: every event keyed once, priced exactly, rolled up completely, owed."""

from django.utils import timezone

from accounts.invariants import Invariant, by_sql
from metering.archive_audit import archives_that_differ
from metering.key_expiry import oldest_kept_id
from metering.rollup_comparison import DIGEST
from metering.rollups import COUNTS, SUMMED, TAGS
from metering.superseded import charged_by_superseded, whose_charges_are_superseded
from pricing.tokens import FIELD_OF, TokenClass

QUANTITIES = {token_class.value: FIELD_OF[token_class] for token_class in TokenClass} | {
    "output": "(coalesce(output_tokens, 0) - coalesce(reasoning_tokens, 0))"
}
"""Billable quantity of each token class as SQL: reasoning is inside output, so it is taken out of it."""

PRODUCTS = " + ".join(
    f"CASE WHEN coalesce({quantity}, 0) = 0 THEN 0 ELSE {quantity} * (rate.{{map}} ->> '{token_class}')::numeric END"
    for token_class, quantity in QUANTITIES.items()
)
"""Their sum is NULL where something was used that the rate does not price."""


_TOTALS = "{0}.event_count, {0}.event_digest, {0}.cost, {0}.amount"


def _call(event: str) -> str:
    """What tells which call it was, even where a reporter changed what it had told about it."""
    return ", ".join(f"{event}.{name}" for name in ("occurred_at", "source_id", "evidence", "key"))


def _same(event: str) -> str:
    """What an event and its corrections have in common."""
    names = ("api_key_id", "model_id", "request_id", "end_user", "tags", *TAGS)
    return ", ".join((_call(event), *(f"{event}.{name}" for name in names)))


def _archived(row: str, event_id: str) -> str:
    """Whether the event of a row is in a month that left the database."""
    return f"""EXISTS (
            SELECT FROM metering_usagearchive AS archive JOIN metering_archivedmonth AS detached ON detached.month = archive.month
            WHERE archive.organization_id = {row}.organization_id
                AND {event_id} BETWEEN archive.first_id AND archive.last_id)"""


INVARIANTS = (
    by_sql(
        "8a",
        "every waiting event has its key, and every reported one while keys are kept",
        """
        SELECT item.organization_id, item.source_id, item.key FROM (
            SELECT organization_id, source_id, key, id FROM metering_usageevent
            WHERE kind = 1 AND replaces_id IS NULL AND id >= %(oldest_id)s
            UNION ALL SELECT organization_id, source_id, key, event_id FROM metering_unratedusage
        ) AS item LEFT JOIN metering_eventkey AS claimed
            ON claimed.organization_id = item.organization_id AND claimed.event_id = item.id AND claimed.key_digest
            = encode(substring(sha256(convert_to(item.source_id || ':' || item.key, 'UTF8')) FOR 16), 'hex')::uuid
        WHERE claimed.event_id IS NULL
        """,
        oldest_id=lambda: oldest_kept_id(now=timezone.now()),
    ),
    by_sql(
        "8b",
        "every key has its event (which may be archived), its waiting event, or one that was taken back while it waited",
        f"""
        SELECT claimed.organization_id, claimed.event_id FROM metering_eventkey AS claimed
        LEFT JOIN metering_usageevent AS event
            ON event.organization_id = claimed.organization_id AND event.id = claimed.event_id
        LEFT JOIN metering_unratedusage AS waiting
            ON waiting.organization_id = claimed.organization_id AND waiting.event_id = claimed.event_id
        LEFT JOIN metering_usagecorrection AS voided ON voided.action = 1 AND voided.report IS NOT NULL
            AND voided.organization_id = claimed.organization_id AND voided.event_id = claimed.event_id
        WHERE num_nonnulls(event.id, waiting.event_id, voided.event_id) <> 1
            AND NOT (num_nonnulls(event.id, waiting.event_id) = 0 AND {_archived("claimed", "claimed.event_id")})
        """,
    ),
    by_sql(
        "9a",
        "charge = counts × applied rate, cost = counts × unit cost, exactly",
        f"""
        SELECT event.organization_id, event.id, event.amount, event.cost FROM metering_usageevent AS event
        LEFT JOIN catalog_appliedrate AS rate ON rate.id = event.applied_rate_id
        WHERE rate.id IS NULL OR event.amount IS DISTINCT FROM ({PRODUCTS.format(map="unit_prices")})
            OR event.cost IS DISTINCT FROM ({PRODUCTS.format(map="unit_costs")})
        """,
    ),
    by_sql(
        "9c",
        "a reversal is the exact negative of the event it takes back, and the only one",
        f"""
        SELECT reversal.organization_id, reversal.id FROM metering_usageevent AS reversal
        LEFT JOIN metering_usageevent AS event ON event.kind = 1
            AND event.organization_id = reversal.organization_id AND event.id = reversal.reverses_id
        WHERE reversal.kind = 2 AND (event.id IS NULL OR
            (reversal.applied_rate_id, {", ".join(f"-reversal.{name}" for name in (*SUMMED, "reported_cost"))}, {_same("reversal")})
            IS DISTINCT FROM
            (event.applied_rate_id, {", ".join(f"event.{name}" for name in (*SUMMED, "reported_cost"))}, {_same("event")}))
        UNION ALL SELECT organization_id, reverses_id FROM metering_usageevent WHERE kind = 2
        GROUP BY 1, 2 HAVING count(*) > 1
        """,
    ),
    by_sql(
        "9d",
        "what replaces an event has its counts, unless its reporter amended it; that event is reversed, and replaced once",
        f"""
        SELECT replacement.organization_id, replacement.id FROM metering_usageevent AS replacement
        LEFT JOIN metering_usageevent AS event ON event.kind = 1
            AND event.organization_id = replacement.organization_id AND event.id = replacement.replaces_id
        LEFT JOIN metering_usagecorrection AS amendment ON amendment.action = 2
            AND amendment.organization_id = replacement.organization_id AND amendment.event_id = replacement.replaces_id
        WHERE replacement.replaces_id IS NOT NULL AND (event.id IS NULL
            OR ({_call("replacement")}) IS DISTINCT FROM ({_call("event")})
            OR amendment.event_id IS NULL AND
            ({", ".join(f"replacement.{name}" for name in COUNTS)}, {_same("replacement")})
            IS DISTINCT FROM ({", ".join(f"event.{name}" for name in COUNTS)}, {_same("event")}))
        UNION ALL (SELECT organization_id, replaces_id FROM metering_usageevent WHERE replaces_id IS NOT NULL
            EXCEPT SELECT organization_id, reverses_id FROM metering_usageevent WHERE kind = 2)
        UNION ALL SELECT organization_id, replaces_id FROM metering_usageevent WHERE replaces_id IS NOT NULL
        GROUP BY 1, 2 HAVING count(*) > 1
        """,
    ),
    by_sql(
        "9e",
        "what a reporter took back is reversed, or never was charged; what it amended is replaced, or was not charged then",
        f"""
        SELECT correction.organization_id, correction.event_id, correction.action FROM metering_usagecorrection AS correction
        WHERE correction.report IS NULL AND NOT {_archived("correction", "correction.event_id")} AND (
            NOT EXISTS (SELECT FROM metering_usageevent AS reversal WHERE reversal.kind = 2
                AND reversal.organization_id = correction.organization_id AND reversal.reverses_id = correction.event_id)
            OR (correction.action = 2) <> EXISTS (SELECT FROM metering_usageevent AS replacement
                WHERE replacement.organization_id = correction.organization_id AND replacement.replaces_id = correction.event_id))
        """,
    ),
    by_sql(
        "11",
        "the price, markup and exchange rate of a charge had been published when it occurred",
        """
        SELECT event.organization_id, event.id FROM metering_usageevent AS event
        JOIN catalog_appliedrate AS rate ON rate.id = event.applied_rate_id
        JOIN catalog_costprice AS price ON price.id = rate.cost_price_id
        JOIN catalog_markuprule AS markup ON markup.id = rate.markup_rule_id
        LEFT JOIN catalog_exchangerate AS exchange ON exchange.id = rate.exchange_rate_id
        WHERE event.occurred_at < price.effective_from OR event.occurred_at < markup.effective_from
            OR event.occurred_at::date < exchange.published_on OR price.language_model_id <> event.model_id
        """,
    ),
    Invariant(
        "11b",
        "no charge of an open period is by a price or markup that had a successor by then, which says otherwise",
        charged_by_superseded,
        whose_charges_are_superseded,
    ),
    by_sql(
        "12",
        "rollups = events, archived ones included: counts, sums and digest",
        f"""
        WITH rebuilt AS (
            SELECT organization_id, period_id, api_key_id, model_id, applied_rate_id, {", ".join(TAGS)},
                sum(event_count) AS event_count, bit_xor(event_digest) AS event_digest,
                {", ".join(f"sum({name}) AS {name}" for name in SUMMED)}
            FROM (
                SELECT organization_id, period_id, coalesce(api_key_id, 0) AS api_key_id, model_id, applied_rate_id,
                    {", ".join(f"coalesce({name}, '') AS {name}" for name in TAGS)},
                    count(*) AS event_count, {DIGEST} AS event_digest,
                    {", ".join(f"coalesce(sum({name}), 0) AS {name}" for name in SUMMED)}
                FROM metering_usageevent GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
                UNION ALL SELECT organization_id, period_id, api_key_id, model_id, applied_rate_id, {", ".join(TAGS)},
                    event_count, event_digest, {", ".join(SUMMED)}
                FROM metering_archivedsum WHERE month IN (SELECT detached.month FROM metering_archivedmonth AS detached)
            ) AS stored GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
        ), kept AS (
            SELECT organization_id, period_id, api_key_id, model_id, applied_rate_id, {", ".join(TAGS)},
                sum(event_count) AS event_count, bit_xor(event_digest) AS event_digest,
                {", ".join(f"sum({name}) AS {name}" for name in SUMMED)}
            FROM metering_usagerollup GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
        )
        SELECT coalesce(kept.organization_id, rebuilt.organization_id) AS organization_id,
            coalesce(kept.period_id, rebuilt.period_id) AS period_id, kept.event_count AS kept, rebuilt.event_count AS rebuilt
        FROM kept FULL JOIN rebuilt USING (organization_id, period_id, api_key_id, model_id, applied_rate_id, {", ".join(TAGS)})
        WHERE (kept.event_count, kept.event_digest, {", ".join(f"kept.{name}" for name in SUMMED)})
            IS DISTINCT FROM (rebuilt.event_count, rebuilt.event_digest, {", ".join(f"rebuilt.{name}" for name in SUMMED)})
        """,
    ),
    by_sql(
        "36",
        "the archive of a month = its sums = what its partition held, and the partition is gone",
        f"""
        SELECT coalesce(archive.organization_id, sums.organization_id) AS organization_id, month
        FROM metering_usagearchive AS archive FULL JOIN (
            SELECT organization_id, month, sum(event_count) AS event_count, bit_xor(event_digest) AS event_digest,
                sum(cost) AS cost, sum(amount) AS amount
            FROM metering_archivedsum GROUP BY 1, 2
        ) AS sums USING (organization_id, month)
        WHERE ({_TOTALS.format("archive")}) IS DISTINCT FROM ({_TOTALS.format("sums")})
        UNION ALL SELECT NULL, detached.month FROM metering_archivedmonth AS detached LEFT JOIN (
            SELECT month, sum(event_count) AS event_count, bit_xor(event_digest) AS event_digest, sum(cost) AS cost,
                sum(amount) AS amount
            FROM metering_usagearchive GROUP BY 1
        ) AS archives USING (month)
        WHERE ({_TOTALS.format("detached")}) IS DISTINCT FROM (coalesce(archives.event_count, 0),
            coalesce(archives.event_digest, 0), coalesce(archives.cost, 0), coalesce(archives.amount, 0))
        UNION ALL SELECT NULL, detached.month FROM metering_archivedmonth AS detached
        JOIN pg_inherits ON inhrelid = to_regclass(usage_partition_of(detached.month))
        """,
    ),
    Invariant("37", "the file of every archived month has the bytes that were noted", archives_that_differ),
    by_sql(
        "30",
        "unbilled = sum of the rollups of periods that are not closed",
        """
        SELECT balance.organization_id, balance.unbilled, coalesce(sum(rollup.amount), 0) AS rolled_up
        FROM ledger_balance AS balance
        LEFT JOIN (metering_usagerollup AS rollup
            JOIN ledger_billingperiod AS period ON period.id = rollup.period_id AND period.status <> 'closed')
            ON rollup.organization_id = balance.organization_id
        GROUP BY 1, 2 HAVING balance.unbilled <> coalesce(sum(rollup.amount), 0)
        """,
    ),
    by_sql(
        "31",
        "an event's id tells when it occurred, and its period is its organization's",
        """
        SELECT CASE WHEN period.id IS NOT NULL THEN event.organization_id END AS organization_id, event.id,
            event.organization_id AS charged
        FROM metering_usageevent AS event LEFT JOIN ledger_billingperiod AS period
            ON period.id = event.period_id AND period.organization_id = event.organization_id
        WHERE period.id IS NULL OR event.occurred_at >= period.ends_at
            OR ('x' || left(replace(event.id::text, '-', ''), 12))::bit(48)::bigint
                <> floor(extract(epoch FROM event.occurred_at) * 1000)
        """,
    ),
    by_sql(
        "34",
        "spent of a spend limit = sum of the rollups of its window, and what is ahead that of later ones",
        """
        SELECT spend_limit.organization_id, spend_limit.id, spend_limit.spent, spend_limit.spent_ahead,
            sum(rollup.amount) AS rolled_up
        FROM ledger_spendlimit AS spend_limit
        LEFT JOIN metering_usagerollup AS rollup ON rollup.organization_id = spend_limit.organization_id
            AND rollup.hour >= spend_limit.window_start
            AND (spend_limit.api_key_id IS NULL OR spend_limit.api_key_id = rollup.api_key_id)
            AND (spend_limit.member_id IS NULL OR EXISTS (SELECT FROM accounts_apikey AS api_key
                WHERE api_key.id = rollup.api_key_id AND api_key.created_by_id = spend_limit.member_id))
        GROUP BY spend_limit.id
        HAVING spend_limit.spent <> coalesce(sum(rollup.amount) FILTER (WHERE rollup.hour < spend_limit.window_end), 0)
            OR spend_limit.spent_ahead <> coalesce(sum(rollup.amount) FILTER (WHERE rollup.hour >= spend_limit.window_end), 0)
        """,
    ),
)
