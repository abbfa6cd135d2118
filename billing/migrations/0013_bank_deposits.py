"""Deposits as the bank's statements tell them, what became of each, and the names that customers pay by."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from accounts.row_security import forbid_changes, isolate, revoke

OWN_ROWS = """
ALTER TABLE billing_payment ADD CONSTRAINT payment_of_organization UNIQUE (organization_id, id);
ALTER TABLE billing_depositpart
    ADD CONSTRAINT part_decision_is_of_organization
        FOREIGN KEY (organization_id, decision_id) REFERENCES billing_depositdecision (organization_id, id),
    ADD CONSTRAINT part_payment_is_of_organization
        FOREIGN KEY (organization_id, payment_id) REFERENCES billing_payment (organization_id, id);
"""
FORGET_OWN_ROWS = """
ALTER TABLE billing_depositpart DROP CONSTRAINT part_decision_is_of_organization,
    DROP CONSTRAINT part_payment_is_of_organization;
ALTER TABLE billing_payment DROP CONSTRAINT payment_of_organization;
"""
EVERYTHING = "SELECT, INSERT, UPDATE, DELETE, TRUNCATE"


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0011_rights_on_users"),
        ("billing", "0012_cards_on_file"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="BankStatement",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("account", models.CharField(max_length=40, verbose_name="account number")),
                ("currency", models.CharField(choices=[("KRW", "KRW"), ("USD", "USD")], default="KRW", max_length=3)),
                ("file_name", models.CharField(max_length=200, verbose_name="file")),
                ("sha256", models.CharField(max_length=64)),
                ("form", models.CharField(max_length=20)),
                ("deposits", models.PositiveIntegerField(verbose_name="deposits")),
                ("imported_at", models.DateTimeField()),
                (
                    "imported_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "bank statement",
                "verbose_name_plural": "bank statements",
            },
        ),
        migrations.CreateModel(
            name="BankDeposit",
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
                    "statement",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.bankstatement"
                    ),
                ),
            ],
            options={
                "verbose_name": "deposit",
                "verbose_name_plural": "deposits",
            },
        ),
        migrations.CreateModel(
            name="DepositDecision",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("automatic", "Matched automatically"),
                            ("confirmed", "Matched by an operator"),
                            ("set_aside", "Set aside"),
                        ],
                        max_length=10,
                    ),
                ),
                ("because", models.JSONField(default=list)),
                ("reason", models.CharField(blank=True, max_length=200)),
                ("decided_at", models.DateTimeField()),
                (
                    "decided_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "deposit",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="decision", to="billing.bankdeposit"
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.organization",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="DepositPart",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "decision",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="parts", to="billing.depositdecision"
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.organization"
                    ),
                ),
                (
                    "payment",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="deposit_part", to="billing.payment"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="PayerAlias",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=100)),
                ("created_at", models.DateTimeField()),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.organization"
                    ),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="bankdeposit",
            index=models.Index(fields=["-at"], name="deposit_by_time"),
        ),
        migrations.AddConstraint(
            model_name="bankdeposit",
            constraint=models.UniqueConstraint(
                fields=("account", "at", "amount", "payer", "balance", "sequence"),
                name="one_deposit_per_line",
                nulls_distinct=False,
            ),
        ),
        migrations.AddConstraint(
            model_name="bankdeposit",
            constraint=models.CheckConstraint(condition=models.Q(("amount__gt", 0)), name="deposit_positive"),
        ),
        migrations.AddConstraint(
            model_name="depositdecision",
            constraint=models.UniqueConstraint(fields=("organization", "id"), name="decision_of_organization"),
        ),
        migrations.AddConstraint(
            model_name="depositdecision",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "set_aside"), ("organization", None)),
                    models.Q(models.Q(("kind", "set_aside"), _negated=True), ("organization__isnull", False)),
                    _connector="OR",
                ),
                name="matched_deposits_have_an_organization",
            ),
        ),
        migrations.AddConstraint(
            model_name="payeralias",
            constraint=models.UniqueConstraint(fields=("organization", "name"), name="one_alias_per_name"),
        ),
        migrations.RunSQL(OWN_ROWS, reverse_sql=FORGET_OWN_ROWS),
        revoke("billing_bankstatement", rights=EVERYTHING, roles=("app",)),
        revoke("billing_bankdeposit", rights=EVERYTHING, roles=("app",)),
        forbid_changes("billing_bankdeposit"),
        isolate("billing_depositdecision"),
        forbid_changes("billing_depositdecision"),
        isolate("billing_depositpart"),
        forbid_changes("billing_depositpart"),
        isolate("billing_payeralias"),
    ]
