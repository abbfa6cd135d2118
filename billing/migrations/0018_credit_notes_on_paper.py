"""Credit notes have papers, too: one each, of their own tenant."""

import django.db.models.deletion
from django.db import migrations, models

OWN_ROWS = """
ALTER TABLE billing_document ADD CONSTRAINT document_credit_note_is_of_organization
    FOREIGN KEY (organization_id, credit_note_id) REFERENCES billing_creditnote (organization_id, id);
"""
FORGET_OWN_ROWS = "ALTER TABLE billing_document DROP CONSTRAINT document_credit_note_is_of_organization;"


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0017_dunning"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="document",
            name="document_of_one_subject",
        ),
        migrations.AddField(
            model_name="document",
            name="credit_note",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="documents",
                to="billing.creditnote",
            ),
        ),
        migrations.AlterField(
            model_name="document",
            name="kind",
            field=models.CharField(
                choices=[
                    ("invoice", "Invoice"),
                    ("statement", "Statement"),
                    ("evidence", "Evidence"),
                    ("credit_note", "Credit note"),
                    ("receipt", "Receipt"),
                    ("quotation", "Quotation"),
                ],
                max_length=12,
            ),
        ),
        migrations.AddConstraint(
            model_name="document",
            constraint=models.UniqueConstraint(fields=("credit_note", "kind"), name="one_document_per_credit_note"),
        ),
        migrations.AddConstraint(
            model_name="document",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("credit_note__isnull", True),
                        ("invoice__isnull", False),
                        ("kind__in", ["invoice", "statement", "evidence"]),
                        ("payment__isnull", True),
                        ("quotation__isnull", True),
                    ),
                    models.Q(
                        ("credit_note__isnull", True),
                        ("invoice__isnull", True),
                        ("kind__in", ["receipt"]),
                        ("payment__isnull", False),
                        ("quotation__isnull", True),
                    ),
                    models.Q(
                        ("credit_note__isnull", True),
                        ("invoice__isnull", True),
                        ("kind__in", ["quotation"]),
                        ("payment__isnull", True),
                        ("quotation__isnull", False),
                    ),
                    models.Q(
                        ("credit_note__isnull", False),
                        ("invoice__isnull", True),
                        ("kind__in", ["credit_note"]),
                        ("payment__isnull", True),
                        ("quotation__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="document_of_one_subject",
            ),
        ),
        migrations.RunSQL(OWN_ROWS, reverse_sql=FORGET_OWN_ROWS),
    ]
