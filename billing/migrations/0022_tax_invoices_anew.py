"""An original that was taken back before it was sent may be followed by another one; each that was taken back by one at most."""

import django.db.models.deletion
from django.db import migrations, models

GUARD = """
ALTER TABLE billing_taxinvoice ADD CONSTRAINT tax_invoice_replaces_one_of_organization
    FOREIGN KEY (organization_id, replaces_id) REFERENCES billing_taxinvoice (organization_id, id);
"""
NO_GUARD = "ALTER TABLE billing_taxinvoice DROP CONSTRAINT tax_invoice_replaces_one_of_organization;"


class Migration(migrations.Migration):
    dependencies = [("billing", "0019_invoice_drafts")]

    operations = [
        migrations.AddField(
            model_name="taxinvoice",
            name="replaces",
            field=models.OneToOneField(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="replaced_by",
                to="billing.taxinvoice",
            ),
        ),
        migrations.RemoveConstraint(model_name="taxinvoice", name="one_original_per_invoice"),
        migrations.AddConstraint(
            model_name="taxinvoice",
            constraint=models.UniqueConstraint(
                condition=models.Q(("reason", ""), models.Q(("status", "canceled"), _negated=True)),
                fields=("invoice",),
                name="one_standing_original_per_invoice",
            ),
        ),
        migrations.RunSQL(GUARD, reverse_sql=NO_GUARD),
    ]
