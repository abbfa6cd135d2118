"""Invariants of balances, holds and periods."""

from accounts.invariants import by_sql

INVARIANTS = (
    by_sql(
        "3",
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
        GROUP BY spend_limit.id HAVING spend_limit.held <> coalesce(sum(hold.amount), 0)
        """,
    ),
    by_sql(
        "35",
        "a balance says that it is limited where there are spend limits, and nowhere else",
        """
        SELECT balance.organization_id, balance.limited FROM ledger_balance AS balance WHERE balance.limited <> EXISTS (
            SELECT 1 FROM ledger_spendlimit AS spend_limit WHERE spend_limit.organization_id = balance.organization_id)
        """,
    ),
)
