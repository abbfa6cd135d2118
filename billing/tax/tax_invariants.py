"""Invariants of tax invoices: none beside a card slip, one original each, and sums that are their invoice's."""

from accounts.invariants import by_sql

TAX_INVARIANTS = (
    by_sql(
        "48",
        "no tax invoice was issued for what a card paid; each tax invoice belongs to an invoice whose proof it is",
        """
        SELECT invoice.number, proof.kind, sheet.status FROM billing_taxinvoice AS sheet
        JOIN billing_invoice AS invoice ON invoice.id = sheet.invoice_id
        LEFT JOIN billing_supplyproof AS proof ON proof.invoice_id = invoice.id
        WHERE sheet.status IN ('requested', 'issued', 'sent') AND (sheet.reason = '' OR sheet.occasion LIKE 'original%') AND 0 <> (
            SELECT sum(other.total) FROM billing_taxinvoice AS other
            WHERE other.invoice_id = invoice.id AND other.status NOT IN ('dropped', 'canceled')
        ) AND (
            proof.kind IS DISTINCT FROM 'tax_invoice' OR EXISTS (
                SELECT FROM billing_payment AS payment
                LEFT JOIN ledger_creditgrant AS credit
                    ON credit.organization_id = payment.organization_id AND credit.key = 'overpayment:' || payment.id
                WHERE payment.invoice_id = invoice.id AND payment.processor <> 'bank_transfer' AND payment.status = 'succeeded'
                    AND payment.amount > coalesce(credit.amount, 0)))
        """,
    ),
    by_sql(
        "49",
        "an invoice has at most one original tax invoice that stands, and what was issued has an approval number of its own",
        """
        SELECT invoice_id::text AS subject, count(*) FROM billing_taxinvoice
        WHERE (reason = '' OR occasion LIKE 'original%') AND status <> 'canceled'
        GROUP BY 1 HAVING count(*) > 1
        UNION ALL SELECT approval_number, count(*) FROM billing_taxinvoice WHERE status IN ('issued', 'sent', 'canceled')
        GROUP BY 1 HAVING count(*) > 1 OR approval_number = ''
        """,
    ),
    by_sql(
        "50",
        "tax invoices and their amendments leave standing what their invoice and its notes do, less what card slips prove",
        """
        SELECT * FROM (
            SELECT invoice.number, sum(sheet.total) AS sheets, CASE WHEN invoice.status = 'void' THEN 0 ELSE greatest(0,
                invoice.total - proof.by_card - coalesce((SELECT sum(total) FROM billing_creditnote AS note
                    WHERE note.invoice_id = invoice.id), 0) + coalesce((SELECT sum(later.total) FROM billing_taxinvoice AS later
                    WHERE later.invoice_id = invoice.id AND later.occasion LIKE 'invoice:%' AND later.status <> 'dropped'
                    AND NOT EXISTS (SELECT FROM billing_taxinvoice AS anew WHERE anew.replaces_id = later.id)), 0)) END AS standing
            FROM billing_taxinvoice AS sheet
            JOIN billing_invoice AS invoice ON invoice.id = sheet.invoice_id
            JOIN billing_supplyproof AS proof ON proof.invoice_id = invoice.id
            WHERE sheet.status NOT IN ('dropped', 'canceled') AND sheet.occasion NOT LIKE 'issued_twice%'
            GROUP BY invoice.id, proof.id
        ) AS books WHERE sheets <> standing
        """,
    ),
    by_sql(
        "56",
        "an invoice below zero takes back from earlier tax invoices what it says, less what none of them said; a void one nothing",
        """
        SELECT * FROM (
            SELECT invoice.organization_id, invoice.number,
                CASE WHEN invoice.status = 'void' THEN 0 ELSE invoice.total - proof.by_card END AS taken_back,
                coalesce((SELECT sum(sheet.total) FROM billing_taxinvoice AS sheet
                    JOIN billing_invoice AS earlier ON earlier.id = sheet.invoice_id
                    WHERE sheet.occasion LIKE 'invoice:' || invoice.id || '%' AND sheet.status NOT IN ('dropped', 'canceled')
                    AND NOT (invoice.status = 'void' AND earlier.status = 'void')), 0) AS sheets
            FROM billing_invoice AS invoice JOIN billing_supplyproof AS proof ON proof.invoice_id = invoice.id
            WHERE invoice.total < 0 AND proof.kind = 'tax_invoice'
        ) AS books WHERE taken_back <> sheets
        """,
    ),
)
