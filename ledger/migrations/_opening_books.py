"""The data of migration 0005: which credit each use was of, and opening entries for what balances said before there was a journal.

Row security is FORCEd, so the owner of the tables, who migrates, lifts it while it looks at all rows.
"""

NAME_CREDITS = """
ALTER TABLE ledger_creditgrant NO FORCE ROW LEVEL SECURITY;
ALTER TABLE ledger_credituse NO FORCE ROW LEVEL SECURITY;
ALTER TABLE ledger_balance NO FORCE ROW LEVEL SECURITY;
ALTER TABLE ledger_credituse DISABLE TRIGGER immutable;
-- Uses in the order in which they were made, credits in the order in which they are used now; one that was given later is the last
-- resort. A use that took of several becomes a row for each.
DO $$
DECLARE
    used record;
    source record;
    rest numeric;
    part numeric;
BEGIN
    FOR used IN SELECT * FROM ledger_credituse ORDER BY at, id LOOP
        rest := used.amount;
        FOR source IN
            SELECT credit.id, CASE WHEN used.amount > 0 THEN credit.amount - coalesce(sum(piece.amount), 0)
                ELSE -coalesce(sum(piece.amount) FILTER (WHERE piece.invoice_id = used.invoice_id), 0) END AS part
            FROM ledger_creditgrant AS credit LEFT JOIN ledger_credituse AS piece ON piece.grant_id = credit.id
            WHERE credit.organization_id = used.organization_id GROUP BY credit.id
            ORDER BY credit.granted_at > used.at, credit.priority, credit.kind = 'paid', credit.expires_at NULLS LAST,
                credit.granted_at, credit.id
        LOOP
            part := CASE WHEN used.amount > 0 THEN least(rest, source.part) ELSE greatest(rest, source.part) END;
            CONTINUE WHEN part = 0 OR sign(part) <> sign(used.amount);
            INSERT INTO ledger_credituse (organization_id, grant_id, invoice_id, amount, at)
            VALUES (used.organization_id, source.id, used.invoice_id, part, used.at);
            rest := rest - part;
            EXIT WHEN rest = 0;
        END LOOP;
        IF rest <> 0 THEN
            RAISE EXCEPTION 'credit use % of % takes % more than was ever given: audit the books with the version before',
                used.id, used.amount, rest;
        END IF;
        DELETE FROM ledger_credituse WHERE id = used.id;
    END LOOP;
END $$;
UPDATE ledger_balance AS balance SET credit_expires_at = (
    SELECT min(credit.expires_at) FROM ledger_creditgrant AS credit
    WHERE credit.organization_id = balance.organization_id
        AND credit.amount > (SELECT coalesce(sum(amount), 0) FROM ledger_credituse WHERE grant_id = credit.id));
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
ALTER TABLE ledger_credituse ENABLE TRIGGER immutable;
ALTER TABLE ledger_credituse FORCE ROW LEVEL SECURITY;
ALTER TABLE ledger_creditgrant FORCE ROW LEVEL SECURITY;
"""
OPEN_BOOKS = """
WITH opened AS MATERIALIZED (
    SELECT organization_id, currency, now() AS at,
        (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0') || '7' || substr(md5(organization_id::text), 1, 3) || '8'
            || substr(md5(organization_id::text), 4, 15))::uuid AS id, unbilled, receivable, prepaid
    FROM ledger_balance WHERE (unbilled, receivable, prepaid) <> (0, 0, 0)
), counted AS MATERIALIZED (
    SELECT opened.organization_id, id, account, amount, row_number() OVER one AS position, count(*) OVER whole AS entry_count
    FROM opened, LATERAL (VALUES (1, 'unbilled', unbilled), (2, 'receivable', receivable), (3, 'prepaid', -prepaid),
        (4, 'opening', prepaid - unbilled - receivable)) AS line (place, account, amount)
    WHERE amount <> 0
    WINDOW one AS (PARTITION BY organization_id ORDER BY place), whole AS (PARTITION BY organization_id)
), posted AS (
    INSERT INTO ledger_ledgertransaction (organization_id, id, at, entry_count, kind, key, currency)
    SELECT DISTINCT organization_id, id, at, entry_count, 'opening', 'opening', currency FROM opened JOIN counted USING (organization_id, id)
)
INSERT INTO ledger_ledgerentry (organization_id, transaction_id, position, entry_count, account, amount)
SELECT organization_id, id, position, entry_count, account, amount FROM counted;
ALTER TABLE ledger_balance FORCE ROW LEVEL SECURITY;
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
"""
