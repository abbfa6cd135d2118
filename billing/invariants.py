"""Invariants of billing: what was charged is what is invoiced, numbers have no gaps, money is taken once and accounted for."""

from accounts.invariants import LIMIT, Invariant, Violations, by_sql
from billing.closures.closure_invariants import CLOSURES
from billing.corrections.correction_invariants import CORRECTIONS
from billing.mail.outbox import overdue_mails
from billing.notifications.webhook_delivery import overdue_deliveries
from billing.papers.document_audit import documents_that_differ
from billing.papers.evidence_files import evidence_that_differs
from billing.tax.tax_invariants import TAX_INVARIANTS


def _overdue() -> Violations:
    return [*overdue_mails(), *overdue_deliveries()][:LIMIT]


INVARIANTS = (
    by_sql(
        "14",
        "lines add up to the subtotal, subtotal + tax - credit to the amount due",
        """
        SELECT invoice.organization_id, invoice.number, invoice.subtotal, sum(line.amount) AS lines
        FROM billing_invoice AS invoice LEFT JOIN billing_invoiceline AS line ON line.invoice_id = invoice.id
        GROUP BY invoice.id HAVING invoice.subtotal <> coalesce(sum(line.amount), 0)
            OR invoice.subtotal + invoice.tax - invoice.credit_applied <> invoice.amount_due
        """,
    ),
    by_sql(
        "15",
        "charges of a period = exact lines of usage of its live invoice; each line is rounded by less than one unit",
        """
        SELECT invoice.organization_id, invoice.number, sum(line.exact_amount) FILTER (WHERE line.kind = 'usage') AS lines,
            charged.amount AS charged
        FROM billing_invoice AS invoice
        LEFT JOIN billing_invoiceline AS line ON line.invoice_id = invoice.id
        LEFT JOIN (SELECT organization_id, period_id, sum(amount) AS amount FROM metering_usagerollup GROUP BY 1, 2) AS charged
            ON charged.organization_id = invoice.organization_id AND charged.period_id = invoice.period_id
        WHERE invoice.status <> 'void'
        GROUP BY invoice.id, charged.amount
        HAVING coalesce(sum(line.exact_amount) FILTER (WHERE line.kind = 'usage'), 0) <> coalesce(charged.amount, 0)
            OR coalesce(sum(line.exact_amount), 0) <> invoice.exact_subtotal
            OR bool_or(abs(line.amount - line.exact_amount) >= CASE invoice.currency WHEN 'KRW' THEN 1 ELSE 0.01 END)
        """,
    ),
    by_sql(
        "16",
        "one live invoice per organization, period and kind; closed periods with usage have one, or a void one, or came to nothing",
        """
        SELECT period.organization_id, period.id FROM ledger_billingperiod AS period
        LEFT JOIN billing_invoice AS invoice ON invoice.period_id = period.id AND invoice.status <> 'void'
        LEFT JOIN billing_invoice AS void ON void.period_id = period.id AND void.status = 'void'
        WHERE period.status = 'closed' GROUP BY period.id HAVING count(DISTINCT invoice.id) > 1 OR count(DISTINCT invoice.id) = 0
            AND count(void.id) = 0 AND EXISTS (SELECT 1 FROM metering_usagerollup AS rollup
                WHERE rollup.organization_id = period.organization_id AND rollup.period_id = period.id AND rollup.amount <> 0)
            AND NOT EXISTS (SELECT FROM ledger_ledgertransaction AS posted WHERE posted.kind = 'not_invoiced'
                AND posted.organization_id = period.organization_id AND posted.key = period.id::text)
        """,
    ),
    by_sql(
        "51",
        "an invoice's discount is its terms' share of its usage, its minimum fee what that leaves missing to the minimum",
        """
        SELECT * FROM (
            SELECT invoice.organization_id, invoice.number, lines.discount, lines.minimum_fee, lines.usage + lines.discount AS net,
                -round(lines.usage * coalesce(terms.discount, 0), 20) AS discount_agreed,
                coalesce(CASE WHEN counted.days = following.day - first.day THEN terms.minimum_fee
                    ELSE round(terms.minimum_fee * counted.days / (following.day - first.day),
                        CASE invoice.currency WHEN 'KRW' THEN 0 ELSE 2 END) END, 0) AS minimum
            FROM billing_invoice AS invoice
            JOIN ledger_billingperiod AS period ON period.id = invoice.period_id
            JOIN accounts_organization AS organization ON organization.id = invoice.organization_id
            LEFT JOIN billing_billingterms AS terms ON terms.id = invoice.terms_id
            CROSS JOIN LATERAL (SELECT date_trunc('month', period.starts_at AT TIME ZONE period.zone) AS midnight) AS month
            CROSS JOIN LATERAL (SELECT month.midnight::date AS day) AS first
            CROSS JOIN LATERAL (SELECT (month.midnight + interval '1 month')::date AS day) AS following
            CROSS JOIN LATERAL (SELECT ((period.ends_at - interval '1 microsecond') AT TIME ZONE period.zone)::date AS day) AS last
            CROSS JOIN LATERAL (SELECT (organization.created_at AT TIME ZONE period.zone)::date AS day) AS opened
            CROSS JOIN LATERAL (SELECT CASE WHEN month.midnight AT TIME ZONE period.zone <> period.starts_at THEN 0
                WHEN opened.day > first.day AND opened.day < following.day THEN last.day - opened.day + 1
                ELSE last.day - first.day + 1 END AS days) AS counted
            CROSS JOIN LATERAL (
                SELECT coalesce(sum(exact_amount) FILTER (WHERE kind = 'usage'), 0) AS usage,
                    coalesce(sum(exact_amount) FILTER (WHERE kind = 'discount'), 0) AS discount,
                    coalesce(sum(exact_amount) FILTER (WHERE kind = 'minimum_fee'), 0) AS minimum_fee
                FROM billing_invoiceline WHERE invoice_id = invoice.id
            ) AS lines
        ) AS found
        WHERE discount <> discount_agreed OR minimum_fee <> greatest(minimum - greatest(net, 0), 0)
        """,
    ),
    by_sql(
        "52",
        "a period is closing while one draft of it waits for review, and only then",
        """
        SELECT period.organization_id, period.id, period.status, count(draft.id) AS drafts
        FROM ledger_billingperiod AS period
        LEFT JOIN billing_invoicedraft AS draft ON draft.period_id = period.id AND draft.status = 'waiting'
        GROUP BY period.id HAVING count(draft.id) <> CASE period.status WHEN 'closing' THEN 1 ELSE 0 END
        """,
    ),
    by_sql(
        "17",
        "invoice numbers have no gap",
        """
        SELECT series.prefix, series.next_number - 1 AS taken, count(invoice.id) AS invoices, max(invoice.sequence) AS last
        FROM billing_invoiceseries AS series LEFT JOIN billing_invoice AS invoice ON invoice.series_id = series.id
        WHERE series.credit_notes_of_id IS NULL GROUP BY series.id HAVING count(invoice.id) <> series.next_number - 1
            OR coalesce(max(invoice.sequence), 0) <> series.next_number - 1
        """,
    ),
    Invariant(
        "19", "stored PDFs have the bytes that were noted, and state their invoice's total", documents_that_differ
    ),
    Invariant("53", "stored evidence of invoices has the bytes that were noted", evidence_that_differs),
    Invariant("23", "no mail or webhook has been due and unsent for longer than allowed", _overdue),
    by_sql(
        "32",
        "receivable = what open invoices are still owed, bad debt = what written-off ones are",
        """
        SELECT balance.organization_id, balance.receivable, coalesce(owed.open, 0) AS owed,
            coalesce(booked.bad_debt, 0) AS bad_debt, coalesce(owed.written_off, 0) AS written_off
        FROM ledger_balance AS balance LEFT JOIN (
            SELECT invoice.organization_id, sum(lacking.amount) FILTER (WHERE invoice.status = 'open') AS open,
                sum(lacking.amount) FILTER (WHERE invoice.status = 'uncollectible') AS written_off
            FROM billing_invoice AS invoice CROSS JOIN LATERAL (
                SELECT invoice.amount_due
                    - coalesce((SELECT sum(payment.amount - coalesce(credit.amount, 0)) FROM billing_payment AS payment
                        LEFT JOIN ledger_creditgrant AS credit ON credit.organization_id = payment.organization_id
                            AND credit.key = 'overpayment:' || payment.id
                        WHERE payment.invoice_id = invoice.id AND payment.status = 'succeeded'), 0)
                    - coalesce((SELECT sum(applied) FROM billing_creditnote WHERE invoice_id = invoice.id), 0) AS amount
            ) AS lacking
            WHERE invoice.status IN ('open', 'uncollectible') GROUP BY 1
        ) AS owed USING (organization_id)
        LEFT JOIN (
            SELECT organization_id, sum(amount) AS bad_debt FROM ledger_ledgerentry WHERE account = 'bad_debt' GROUP BY 1
        ) AS booked USING (organization_id)
        WHERE balance.receivable <> coalesce(owed.open, 0) OR coalesce(booked.bad_debt, 0) <> coalesce(owed.written_off, 0)
        """,
    ),
    by_sql(
        "20",
        "one open payment attempt per invoice",
        """
        SELECT organization_id, invoice_id, count(*) AS attempts FROM billing_payment
        WHERE status IN ('pending', 'requires_action', 'unknown') AND invoice_id IS NOT NULL GROUP BY 1, 2 HAVING count(*) > 1
        """,
    ),
    by_sql(
        "21",
        "an invoice keeps what it needs of its payments: paid ones all, void ones nothing, the rest is credit",
        """
        SELECT * FROM (
            SELECT invoice.organization_id, invoice.number, invoice.status,
                invoice.amount_due
                    - coalesce((SELECT sum(applied) FROM billing_creditnote WHERE invoice_id = invoice.id), 0) AS needed,
                coalesce(sum(payment.amount - coalesce(credit.amount, 0)), 0) AS kept
            FROM billing_invoice AS invoice
            LEFT JOIN billing_payment AS payment ON payment.invoice_id = invoice.id AND payment.status = 'succeeded'
            LEFT JOIN ledger_creditgrant AS credit
                ON credit.organization_id = payment.organization_id AND credit.key = 'overpayment:' || payment.id
            GROUP BY invoice.id
        ) AS books WHERE CASE status
            WHEN 'paid' THEN kept <> greatest(needed, 0)
            WHEN 'void' THEN kept <> 0
            ELSE kept < 0 OR (kept >= needed AND needed > 0) END
        """,
    ),
    by_sql(
        "44",
        "each top-up that was paid is one paid credit of its amount, and no credit is a top-up's without one",
        """
        SELECT coalesce(payment.organization_id, credit.organization_id) AS organization_id, payment.id AS payment, payment.amount,
            credit.key, credit.amount AS credit
        FROM (SELECT * FROM billing_payment WHERE invoice_id IS NULL AND status IN ('succeeded', 'reversed')) AS payment
        FULL JOIN (SELECT * FROM ledger_creditgrant WHERE key LIKE 'top-up:%') AS credit
            ON credit.organization_id = payment.organization_id AND credit.key = 'top-up:' || payment.id
        WHERE (payment.amount, payment.currency, 'paid') IS DISTINCT FROM (credit.amount, credit.currency, credit.kind)
        """,
    ),
    by_sql(
        "45",
        "one open top-up per organization",
        """
        SELECT organization_id, count(*) AS top_ups FROM billing_payment
        WHERE invoice_id IS NULL AND status IN ('pending', 'requires_action', 'unknown') GROUP BY 1 HAVING count(*) > 1
        """,
    ),
    by_sql(
        "22",
        "each webhook is in the inbox once",
        "SELECT processor, event_id, count(*) FROM billing_processorevent GROUP BY 1, 2 HAVING count(*) > 1",
    ),
    by_sql(
        "47",
        "who is suspended is so over an overdue invoice or by an operator's reason, and nobody else",
        """
        SELECT organization.id AS organization_id, organization.status, suspension.cause, invoice.number
        FROM accounts_organization AS organization
        LEFT JOIN billing_suspension AS suspension
            ON suspension.organization_id = organization.id AND suspension.ended_at IS NULL
        LEFT JOIN billing_invoice AS invoice ON invoice.id = suspension.invoice_id
        WHERE CASE WHEN organization.status = 'suspended' THEN suspension.id IS NULL OR CASE suspension.cause
                WHEN 'operator' THEN suspension.reason = ''
                ELSE (suspension.suspended_at AT TIME ZONE organization.zone)::date <= invoice.due_on END
            ELSE suspension.id IS NOT NULL END
        """,
    ),
    by_sql(
        "46",
        "payments made of a deposit add up to it; one that was set aside, or whose match was undone, made none",
        """
        SELECT decision.organization_id, deposit.id, deposit.amount, decision.kind, coalesce(sum(payment.amount), 0) AS paid
        FROM billing_depositdecision AS decision JOIN billing_bankdeposit AS deposit ON deposit.id = decision.deposit_id
        LEFT JOIN billing_depositpart AS part ON part.decision_id = decision.id
        LEFT JOIN billing_payment AS payment ON payment.id = part.payment_id AND payment.status = 'succeeded'
            AND payment.organization_id = decision.organization_id AND payment.currency = deposit.currency
        GROUP BY deposit.id, decision.id
        HAVING coalesce(sum(payment.amount), 0) <> CASE
            WHEN decision.kind = 'set_aside' OR decision.undone_at IS NOT NULL THEN 0 ELSE deposit.amount END
        """,
    ),
    by_sql(
        "58",
        "a payment is taken back with the match of its deposit, whole, and leaves no credit",
        """
        SELECT payment.organization_id, payment.id, payment.status, decision.undone_at FROM billing_payment AS payment
        LEFT JOIN billing_depositpart AS part ON part.payment_id = payment.id
        LEFT JOIN billing_depositdecision AS decision ON decision.id = part.decision_id
        WHERE (payment.status = 'reversed') <> (decision.undone_at IS NOT NULL)
        UNION ALL
        SELECT payment.organization_id, payment.id, credit.key, NULL FROM billing_payment AS payment
        JOIN ledger_creditgrant AS credit ON credit.organization_id = payment.organization_id
            AND credit.key IN ('overpayment:' || payment.id, 'top-up:' || payment.id)
        LEFT JOIN ledger_credituse AS used ON used.grant_id = credit.id
        WHERE payment.status = 'reversed'
        GROUP BY payment.organization_id, payment.id, credit.id HAVING credit.amount <> coalesce(sum(used.amount), 0)
        """,
    ),
    *CLOSURES,
    *CORRECTIONS,
    *TAX_INVARIANTS,
)
