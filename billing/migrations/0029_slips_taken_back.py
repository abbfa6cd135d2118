"""A month below zero says how much card slips had proven of what it takes back: so much of its credit is the cards' money."""

from django.db import migrations, models

# Until now such credit was all the cards' or none of it; where slips stood before, all that no tax invoice said was theirs.
NOTE_SLIPS = """
UPDATE billing_supplyproof AS proof SET slips_back = -proof.by_card
FROM billing_invoice AS invoice
WHERE invoice.id = proof.invoice_id AND proof.by_card < 0 AND EXISTS (
    SELECT FROM billing_supplyproof AS slip JOIN billing_invoice AS earlier ON earlier.id = slip.invoice_id
    WHERE earlier.organization_id = invoice.organization_id AND slip.kind = 'card_slip' AND earlier.written_on <= invoice.written_on
);
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0028_audits_by_organization")]

    operations = [
        migrations.AddField(
            model_name="supplyproof",
            name="slips_back",
            field=models.DecimalField(decimal_places=2, default=0, max_digits=18),
        ),
        migrations.RunSQL(NOTE_SLIPS, reverse_sql=migrations.RunSQL.noop),
    ]
