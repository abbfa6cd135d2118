"""Invariants of what corrects invoices: notes never take back more than there was, refunds never more than came in."""

from accounts.invariants import by_sql

CORRECTIONS = (
    by_sql(
        "40",
        "the credit notes of an invoice take back no more than it was, and give back no more than was paid of it",
        """
        SELECT invoice.organization_id, invoice.number, invoice.subtotal, invoice.tax, note.subtotal AS noted,
            note.tax AS tax_noted, note.money, kept.amount AS kept
        FROM billing_invoice AS invoice JOIN (
            SELECT invoice_id, sum(subtotal) AS subtotal, sum(tax) AS tax, sum(to_credit + to_refund) AS money,
                sum(credit_returned) AS credit, sum(total - applied - to_credit - to_refund - credit_returned) AS lost
            FROM billing_creditnote GROUP BY 1
        ) AS note ON note.invoice_id = invoice.id
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(payment.amount - coalesce(credit.amount, 0)), 0) AS amount FROM billing_payment AS payment
            LEFT JOIN ledger_creditgrant AS credit
                ON credit.organization_id = payment.organization_id AND credit.key = 'overpayment:' || payment.id
            WHERE payment.invoice_id = invoice.id AND payment.status = 'succeeded'
        ) AS kept
        WHERE note.subtotal > invoice.subtotal OR note.tax > invoice.tax OR note.money > kept.amount
            OR note.credit > greatest(invoice.credit_applied, 0) OR note.lost <> 0 OR invoice.status = 'void'
            OR (note.subtotal = invoice.subtotal AND note.tax <> invoice.tax)
        """,
    ),
    by_sql(
        "41",
        "the lines of a credit note are of its invoice and add up to it; no line is taken back beyond its amount",
        """
        SELECT note.organization_id, note.number, note.subtotal AS expected, coalesce(sum(line.amount), 0) AS found
        FROM billing_creditnote AS note
        LEFT JOIN billing_creditnoteline AS line ON line.credit_note_id = note.id
        LEFT JOIN billing_invoiceline AS noted ON noted.id = line.invoice_line_id AND noted.invoice_id = note.invoice_id
        GROUP BY note.id HAVING note.subtotal <> coalesce(sum(line.amount), 0) OR count(line.id) <> count(noted.id)
        UNION ALL
        SELECT invoice.organization_id, invoice.number, noted.amount, sum(line.amount) FROM billing_creditnoteline AS line
        JOIN billing_invoiceline AS noted ON noted.id = line.invoice_line_id
        JOIN billing_invoice AS invoice ON invoice.id = noted.invoice_id
        GROUP BY invoice.id, noted.id HAVING sum(line.amount) > greatest(noted.amount, 0) AND noted.amount >= 0
            OR sum(line.amount) < noted.amount AND noted.amount < 0
        """,
    ),
    by_sql(
        "42",
        "numbers of credit notes have no gap",
        """
        SELECT series.prefix, series.next_number - 1 AS taken, count(note.id) AS notes, max(note.sequence) AS last
        FROM billing_invoiceseries AS series LEFT JOIN billing_creditnote AS note ON note.series_id = series.id
        GROUP BY series.id HAVING CASE WHEN series.credit_notes_of_id IS NULL THEN count(note.id) > 0
            ELSE count(note.id) <> series.next_number - 1 OR coalesce(max(note.sequence), 0) <> series.next_number - 1 END
        """,
    ),
    by_sql(
        "43",
        "refunds give back no more than their notes set aside and their payments brought; what is left is what the ledger owes",
        """
        SELECT note.organization_id, 'note ' || note.number AS of, note.to_refund AS most,
            sum(refund.amount - refund.excess) AS refunded
        FROM billing_refund AS refund JOIN billing_creditnote AS note ON note.id = refund.credit_note_id
        WHERE refund.status <> 'failed' GROUP BY note.id HAVING sum(refund.amount - refund.excess) > note.to_refund
        UNION ALL
        SELECT payment.organization_id, 'payment ' || payment.id, payment.amount, sum(refund.amount - refund.excess)
        FROM billing_refund AS refund JOIN billing_payment AS payment ON payment.id = refund.payment_id
        WHERE refund.status <> 'failed' GROUP BY payment.id HAVING sum(refund.amount - refund.excess) > payment.amount
            OR payment.status <> 'succeeded'
        UNION ALL
        SELECT organization_id, 'ledger', coalesce(sum(booked), 0), coalesce(sum(wanted), 0) FROM (
            SELECT organization_id, -amount AS booked, 0 AS wanted FROM ledger_ledgerentry WHERE account = 'refundable'
            UNION ALL SELECT organization_id, 0, to_refund FROM billing_creditnote
            UNION ALL SELECT payout.organization_id, 0, used.amount
                FROM billing_creditpayout AS payout JOIN ledger_credituse AS used ON used.id = payout.credit_use_id
            UNION ALL SELECT organization_id, 0, excess - amount FROM billing_refund WHERE status = 'succeeded'
        ) AS books GROUP BY organization_id HAVING sum(booked) <> sum(wanted)
        """,
    ),
    by_sql(
        "57",
        "credit was taken out by payouts of paid credit only, and refunds send back no more than each",
        """
        SELECT payout.organization_id, payout.id, used.amount, coalesce(sum(refund.amount - refund.excess), 0) AS refunded,
            credit.kind
        FROM billing_creditpayout AS payout
        JOIN ledger_credituse AS used ON used.id = payout.credit_use_id
        JOIN ledger_creditgrant AS credit ON credit.id = used.grant_id
        LEFT JOIN billing_refund AS refund ON refund.credit_payout_id = payout.id AND refund.status <> 'failed'
        GROUP BY payout.id, used.id, credit.id HAVING coalesce(sum(refund.amount - refund.excess), 0) > used.amount
            OR credit.kind <> 'paid' OR used.invoice_id IS NOT NULL
        UNION ALL
        SELECT posted.organization_id, payout.id, -entry.amount, 0, posted.key FROM ledger_ledgertransaction AS posted
        JOIN ledger_ledgerentry AS entry ON entry.organization_id = posted.organization_id
            AND entry.transaction_id = posted.id AND entry.account = 'refundable'
        LEFT JOIN billing_creditpayout AS payout ON payout.credit_use_id::text = posted.key
        WHERE posted.kind = 'credit_taken_out' AND payout.id IS NULL
        """,
    ),
    by_sql(
        "60",
        "charges of closed months are given back once: by notes, which keep reporters from doing so, or by later months",
        """
        WITH noted AS (
            SELECT invoice.organization_id, invoice.number, invoice.id AS invoice_id, invoice.period_id, line.applied_rate_id,
                CASE invoice.currency WHEN 'KRW' THEN 1 ELSE 0.01 END AS unit, sum(credited.amount) AS amount
            FROM billing_creditnoteline AS credited JOIN billing_invoiceline AS line ON line.id = credited.invoice_line_id
            JOIN billing_invoice AS invoice ON invoice.id = line.invoice_id
            WHERE line.applied_rate_id IS NOT NULL GROUP BY invoice.id, line.applied_rate_id
        )
        SELECT noted.organization_id, noted.number, noted.applied_rate_id, noted.amount, 0 AS taken_back, 0 AS charged FROM noted
        LEFT JOIN metering_creditedusage AS mark USING (organization_id, period_id, applied_rate_id) WHERE mark.document IS NULL
        UNION ALL
        SELECT noted.organization_id, noted.number, noted.applied_rate_id, noted.amount, back.amount, charged.amount FROM noted
        CROSS JOIN LATERAL (
            SELECT sum(amount) AS amount, count(*) AS lines FROM billing_invoiceline AS line
            WHERE line.invoice_id = noted.invoice_id AND line.applied_rate_id = noted.applied_rate_id AND line.amount > 0
        ) AS charged
        CROSS JOIN LATERAL (
            SELECT sum(event.amount) AS amount FROM metering_usagecorrection AS correction
            JOIN metering_usageevent AS event ON event.organization_id = correction.organization_id
                AND event.id = correction.event_id
            JOIN metering_usageevent AS reversal ON reversal.organization_id = event.organization_id
                AND reversal.id >= (left(event.id::text, 13) || '-0000-0000-000000000000')::uuid
                AND reversal.id <= (left(event.id::text, 13) || '-ffff-ffff-ffffffffffff')::uuid
                AND reversal.reverses_id = event.id AND reversal.period_id <> event.period_id
            WHERE correction.organization_id = noted.organization_id AND event.period_id = noted.period_id
                AND event.applied_rate_id = noted.applied_rate_id
        ) AS back
        WHERE noted.amount + back.amount > charged.amount + charged.lines * noted.unit
        """,
    ),
)
