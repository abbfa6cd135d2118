"""Invariants of balances, holds and periods."""

from accounts.invariants import by_sql

INVARIANTS = (
    by_sql(
        "1",
        "the entries of a ledger transaction are all there and add up to zero",
        """
        SELECT posted.organization_id, posted.id, posted.entry_count, count(entry.position) AS entries, sum(entry.amount) AS sum
        FROM ledger_ledgertransaction AS posted
        LEFT JOIN ledger_ledgerentry AS entry ON entry.organization_id = posted.organization_id AND entry.transaction_id = posted.id
        GROUP BY posted.organization_id, posted.id
        HAVING count(entry.position) <> posted.entry_count OR sum(entry.amount) IS DISTINCT FROM 0
        """,
    ),
    by_sql(
        "2",
        "an organization's ledger of each currency adds up to zero, and every entry is of a transaction",
        """
        SELECT entry.organization_id, posted.currency, sum(entry.amount) AS sum, count(*) AS entries
        FROM ledger_ledgerentry AS entry LEFT JOIN ledger_ledgertransaction AS posted
            ON posted.organization_id = entry.organization_id AND posted.id = entry.transaction_id
        GROUP BY 1, 2 HAVING sum(entry.amount) <> 0 OR posted.currency IS NULL
        """,
    ),
    by_sql(
        "3",
        "balances = sums of their ledger entries",
        """
        SELECT balance.organization_id, balance.unbilled, booked.unbilled AS unbilled_entries, balance.receivable,
            booked.receivable AS receivable_entries, balance.prepaid, booked.prepaid AS prepaid_entries
        FROM ledger_balance AS balance LEFT JOIN (
            SELECT organization_id, coalesce(sum(amount) FILTER (WHERE account = 'unbilled'), 0) AS unbilled,
                coalesce(sum(amount) FILTER (WHERE account = 'receivable'), 0) AS receivable,
                coalesce(-sum(amount) FILTER (WHERE account = 'prepaid'), 0) AS prepaid
            FROM ledger_ledgerentry GROUP BY 1
        ) AS booked USING (organization_id)
        WHERE (balance.unbilled, balance.receivable, balance.prepaid)
            <> (coalesce(booked.unbilled, 0), coalesce(booked.receivable, 0), coalesce(booked.prepaid, 0))
        """,
    ),
    by_sql(
        "3b",
        "prepaid balance = credits given - credits used",
        """
        SELECT balance.organization_id, balance.prepaid, coalesce(sum(credit.amount), 0) AS credits
        FROM ledger_balance AS balance LEFT JOIN (
            SELECT organization_id, amount FROM ledger_creditgrant
            UNION ALL SELECT organization_id, -amount FROM ledger_credituse
        ) AS credit USING (organization_id)
        GROUP BY 1, 2 HAVING balance.prepaid <> coalesce(sum(credit.amount), 0)
        """,
    ),
    by_sql(
        "3c",
        "no credit is used beyond its amount, given back beyond its use, or expires after the balance looks",
        """
        SELECT credit.organization_id, credit.id, credit.amount, sum(used.amount) AS used
        FROM ledger_creditgrant AS credit LEFT JOIN ledger_credituse AS used ON used.grant_id = credit.id
        JOIN ledger_balance AS balance ON balance.organization_id = credit.organization_id
        GROUP BY credit.id, balance.credit_expires_at HAVING coalesce(sum(used.amount), 0) NOT BETWEEN 0 AND credit.amount
            OR coalesce(sum(used.amount), 0) < credit.amount AND credit.expires_at IS NOT NULL
                AND (balance.credit_expires_at IS NULL OR balance.credit_expires_at > credit.expires_at)
        """,
    ),
    by_sql(
        "5",
        "held = sum of unresolved holds",
        """
        SELECT balance.organization_id, balance.held, coalesce(sum(hold.amount), 0) AS holds
        FROM ledger_balance AS balance
        LEFT JOIN ledger_hold AS hold ON hold.organization_id = balance.organization_id AND hold.status IN (1, 4)
        GROUP BY 1, 2 HAVING balance.held <> coalesce(sum(hold.amount), 0)
        """,
    ),
    by_sql(
        "6",
        "a hold captures no more than it held",
        "SELECT organization_id, id, amount, captured FROM ledger_hold WHERE captured > amount",
    ),
    by_sql(
        "29",
        "periods of an organization neither overlap nor are empty",
        """
        SELECT a.organization_id, a.id, b.id AS other FROM ledger_billingperiod AS a
        JOIN ledger_billingperiod AS b ON b.organization_id = a.organization_id AND b.id > a.id
            AND tstzrange(a.starts_at, a.ends_at) && tstzrange(b.starts_at, b.ends_at)
        """,
    ),
    by_sql(
        "33",
        "held of a spend limit = sum of the unresolved holds of its window",
        """
        SELECT spend_limit.organization_id, spend_limit.id, spend_limit.held, coalesce(sum(hold.amount), 0) AS holds
        FROM ledger_spendlimit AS spend_limit
        LEFT JOIN ledger_hold AS hold ON hold.organization_id = spend_limit.organization_id AND hold.status IN (1, 4)
            AND hold.created_at >= spend_limit.window_start AND hold.created_at < spend_limit.window_end
            AND (spend_limit.api_key_id IS NULL OR spend_limit.api_key_id = hold.api_key_id)
            AND (spend_limit.member_id IS NULL OR EXISTS (SELECT FROM accounts_apikey AS api_key
                WHERE api_key.id = hold.api_key_id AND api_key.created_by_id = spend_limit.member_id))
        GROUP BY spend_limit.id HAVING spend_limit.held <> coalesce(sum(hold.amount), 0)
        """,
    ),
    by_sql(
        "35",
        "a balance says that it is limited where there are spend limits, and stopped where keys are, and nowhere else",
        """
        SELECT balance.organization_id, balance.limited, balance.stopped FROM ledger_balance AS balance
        WHERE balance.limited <> EXISTS (
            SELECT FROM ledger_spendlimit AS spend_limit WHERE spend_limit.organization_id = balance.organization_id)
        OR balance.stopped <> EXISTS (SELECT FROM ledger_keystop AS stop
            WHERE stop.organization_id = balance.organization_id AND stop.lifted_at IS NULL)
        """,
    ),
)
