"""What credit notes gave back before it was kept by rate (metering 0011)."""

from django.db import migrations

MARK = """
INSERT INTO metering_creditedusage (organization_id, period_id, applied_rate_id, document)
SELECT invoice.organization_id, invoice.period_id, line.applied_rate_id, min(note.number)
FROM billing_creditnoteline AS credited
JOIN billing_creditnote AS note ON note.id = credited.credit_note_id
JOIN billing_invoiceline AS line ON line.id = credited.invoice_line_id AND line.applied_rate_id IS NOT NULL
JOIN billing_invoice AS invoice ON invoice.id = note.invoice_id
GROUP BY 1, 2, 3 ON CONFLICT DO NOTHING;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0035_webhook_secrets_rotate"), ("metering", "0011_credited_usage")]

    operations = [migrations.RunSQL(MARK, reverse_sql=migrations.RunSQL.noop)]
