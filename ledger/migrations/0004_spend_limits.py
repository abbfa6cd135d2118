"""Spend limits, behind row security; a limit names a key of its own organization only."""

import django.db.models.deletion
from django.db import migrations, models

from accounts.row_security import isolate

OWN_KEYS = """
ALTER TABLE ledger_spendlimit ADD CONSTRAINT limit_key_is_of_organization
    FOREIGN KEY (organization_id, api_key_id) REFERENCES accounts_apikey (organization_id, id);
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_invitations_and_rotation"),
        ("ledger", "0003_credit_use"),
    ]

    operations = [
        migrations.AddField(
            model_name="balance",
            name="limited",
            field=models.BooleanField(default=False),
        ),
        migrations.CreateModel(
            name="SpendLimit",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("window", models.CharField(choices=[("month", "Month")], default="month", max_length=10)),
                ("amount", models.DecimalField(decimal_places=20, max_digits=38)),
                ("hard", models.BooleanField(default=True)),
                ("window_start", models.DateTimeField()),
                ("window_end", models.DateTimeField()),
                ("spent", models.DecimalField(decimal_places=20, default=0, max_digits=38)),
                ("spent_ahead", models.DecimalField(decimal_places=20, default=0, max_digits=38)),
                ("held", models.DecimalField(decimal_places=20, default=0, max_digits=38)),
                ("created_at", models.DateTimeField()),
                (
                    "api_key",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="spend_limits",
                        to="accounts.apikey",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="spend_limits",
                        to="accounts.organization",
                    ),
                ),
            ],
            options={
                "verbose_name": "spend limit",
                "verbose_name_plural": "spend limits",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "api_key", "window"), name="one_limit_per_window", nulls_distinct=False
                    ),
                    models.CheckConstraint(condition=models.Q(("amount__gte", 0)), name="limit_not_negative"),
                    models.CheckConstraint(condition=models.Q(("held__gte", 0)), name="limit_held_not_negative"),
                    models.CheckConstraint(
                        condition=models.Q(("window_start__lt", models.F("window_end"))), name="limit_window_not_empty"
                    ),
                ],
            },
        ),
        migrations.RunSQL(
            OWN_KEYS, reverse_sql="ALTER TABLE ledger_spendlimit DROP CONSTRAINT limit_key_is_of_organization;"
        ),
        isolate("ledger_spendlimit"),
    ]
