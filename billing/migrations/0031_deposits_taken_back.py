"""Lines of bank statements by which a deposit was taken back, each with the deposit that it takes back."""

import django.db.models.deletion
from django.db import migrations, models

from accounts.row_security import forbid_changes, revoke


class Migration(migrations.Migration):
    dependencies = [("billing", "0030_refunds_no_longer_twice")]

    operations = [
        migrations.CreateModel(
            name="DepositTakenBack",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("line", models.PositiveIntegerField()),
                ("account", models.CharField(max_length=40, verbose_name="account number")),
                ("currency", models.CharField(choices=[("KRW", "KRW"), ("USD", "USD")], max_length=3)),
                ("at", models.DateTimeField()),
                ("amount", models.DecimalField(decimal_places=2, max_digits=18)),
                ("payer", models.CharField(blank=True, max_length=100, verbose_name="payer")),
                ("balance", models.DecimalField(decimal_places=2, max_digits=18, null=True)),
                ("sequence", models.PositiveSmallIntegerField(default=1)),
                ("memo", models.CharField(blank=True, max_length=200, verbose_name="memo")),
                ("branch", models.CharField(blank=True, max_length=60, verbose_name="branch")),
                (
                    "deposit",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="taken_back",
                        to="billing.bankdeposit",
                    ),
                ),
                (
                    "statement",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.bankstatement"
                    ),
                ),
            ],
            options={
                "verbose_name": "deposit that the bank took back",
                "verbose_name_plural": "deposits that the bank took back",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("account", "at", "amount", "payer", "balance", "sequence"),
                        name="one_taking_back_per_line",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(condition=models.Q(("amount__gt", 0)), name="taken_back_positive"),
                ],
            },
        ),
        revoke("billing_deposittakenback", rights="ALL", roles=("app",)),
        forbid_changes("billing_deposittakenback"),
    ]
