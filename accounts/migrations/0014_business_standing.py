"""What the tax office says of registration numbers; how an organization pays, sees prices, and why its tax is another."""

import django.db.models.deletion
from django.db import migrations, models

from accounts.row_security import isolate


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0012_po_number"),
    ]

    operations = [
        migrations.AddField(
            model_name="billingprofile",
            name="pays_by",
            field=models.CharField(
                choices=[
                    ("transfer", "Bank transfer, with a tax invoice for businesses"),
                    ("card", "Card; its slip is the proof"),
                ],
                default="transfer",
                max_length=8,
                verbose_name="how invoices are paid",
            ),
        ),
        migrations.AddField(
            model_name="billingprofile",
            name="prices",
            field=models.CharField(
                blank=True,
                choices=[("", "As on the site"), ("exclusive", "VAT excluded"), ("inclusive", "VAT included")],
                default="",
                max_length=9,
                verbose_name="prices are shown",
            ),
        ),
        migrations.AddField(
            model_name="billingprofile",
            name="tax_evidence",
            field=models.CharField(blank=True, max_length=300, verbose_name="evidence"),
        ),
        migrations.CreateModel(
            name="BusinessStanding",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.CharField(max_length=12)),
                (
                    "state",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("", "Not checked yet"),
                            ("active", "In business"),
                            ("suspended", "Business suspended"),
                            ("closed", "Business closed"),
                            ("unregistered", "Not registered at the tax office"),
                        ],
                        default="",
                        max_length=12,
                    ),
                ),
                ("tax_type", models.CharField(blank=True, max_length=100)),
                ("asked_at", models.DateTimeField(blank=True, null=True)),
                ("checked_at", models.DateTimeField(blank=True, null=True)),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.organization"
                    ),
                ),
            ],
            options={
                "verbose_name": "standing of a business",
                "verbose_name_plural": "standings of businesses",
                "indexes": [models.Index(fields=["asked_at"], name="standing_by_question")],
                "constraints": [
                    models.UniqueConstraint(fields=("organization", "number"), name="one_standing_per_number")
                ],
            },
        ),
        isolate("accounts_businessstanding"),
    ]
