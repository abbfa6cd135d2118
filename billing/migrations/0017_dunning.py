"""How customers are reminded of what they owe, which steps were taken, and who is suspended and why."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from accounts.row_security import forbid_changes, isolate

OWN_ROWS = """
ALTER TABLE billing_dunningstep ADD CONSTRAINT step_invoice_is_of_organization
    FOREIGN KEY (organization_id, invoice_id) REFERENCES billing_invoice (organization_id, id);
ALTER TABLE billing_suspension ADD CONSTRAINT suspension_invoice_is_of_organization
    FOREIGN KEY (organization_id, invoice_id) REFERENCES billing_invoice (organization_id, id);
"""
FORGET_OWN_ROWS = """
ALTER TABLE billing_suspension DROP CONSTRAINT suspension_invoice_is_of_organization;
ALTER TABLE billing_dunningstep DROP CONSTRAINT step_invoice_is_of_organization;
"""
SUSPENDED_BEFORE = """
-- Who is suspended already was so by an operator. The owner of the tables sees rows only where row security is not forced.
ALTER TABLE accounts_organization NO FORCE ROW LEVEL SECURITY;
INSERT INTO billing_suspension (organization_id, cause, reason, suspended_at, end_reason)
SELECT id, 'operator', 'Suspended before reasons were kept.', now(), '' FROM accounts_organization WHERE status = 'suspended';
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE accounts_organization FORCE ROW LEVEL SECURITY;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0011_rights_on_users"),
        ("billing", "0014_proofs_and_tax_invoices"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name="notice",
            name="kind",
            field=models.CharField(
                choices=[
                    ("limit.threshold", "Spend limit: a share is used"),
                    ("limit.refusing", "Spend limit: calls are refused"),
                    ("credit.low", "Credit is low"),
                    ("key.created", "A key was made"),
                    ("key.stopped", "A key was stopped"),
                    ("credit_note.issued", "A credit note was issued"),
                    ("refund.succeeded", "Money was sent back"),
                    ("account.suspended", "The organization was suspended"),
                    ("account.restored", "The organization may call again"),
                    ("webhook.disabled", "A webhook was switched off"),
                    ("webhook.test", "Test"),
                ],
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="outboxmail",
            name="kind",
            field=models.CharField(
                choices=[
                    ("invoice", "Invoice"),
                    ("receipt", "Receipt"),
                    ("payment_failed", "Payment failed"),
                    ("invitation", "Invitation"),
                    ("notice", "Notice"),
                    ("due_soon", "Due soon"),
                    ("overdue", "Overdue reminder"),
                    ("top_up", "Top-up receipt"),
                    ("top_up_failed", "Automatic top-up failed"),
                    ("credit_note", "Credit note"),
                    ("refund", "Refund"),
                ],
                max_length=20,
            ),
        ),
        migrations.CreateModel(
            name="DunningPolicy",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("follows_default", models.BooleanField(default=False)),
                ("days_before_due", models.PositiveSmallIntegerField(null=True)),
                (
                    "overdue_days",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.PositiveSmallIntegerField(), default=list, size=None
                    ),
                ),
                (
                    "charge_days",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.PositiveSmallIntegerField(), default=list, size=None
                    ),
                ),
                ("suspend_after", models.PositiveSmallIntegerField(null=True)),
                ("since", models.DateTimeField()),
                ("reason", models.CharField(blank=True, max_length=200)),
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
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.organization",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["organization", "-since"], name="dunning_policy_in_force")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("overdue_days__len__lte", 10), ("charge_days__len__lte", 10)),
                        name="ten_dunning_steps_at_most",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("follows_default", False), ("organization__isnull", False), _connector="OR"
                        ),
                        name="the_default_follows_nothing",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="DunningStep",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("due_soon", "Reminder before the due date"),
                            ("charge", "Card charged again"),
                            ("overdue", "Overdue reminder"),
                            ("suspension", "Suspension"),
                        ],
                        max_length=10,
                    ),
                ),
                ("number", models.PositiveSmallIntegerField(default=1)),
                ("planned_on", models.DateField()),
                ("taken_at", models.DateTimeField()),
                ("skipped", models.BooleanField(default=False)),
                (
                    "invoice",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="dunning_steps", to="billing.invoice"
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.organization"
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["organization", "-taken_at"], name="dunning_step_by_time")],
                "constraints": [
                    models.UniqueConstraint(fields=("invoice", "kind", "number"), name="one_dunning_step_per_invoice")
                ],
            },
        ),
        migrations.CreateModel(
            name="Suspension",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "cause",
                    models.CharField(
                        choices=[("overdue", "Overdue invoice"), ("operator", "Decided by an operator")], max_length=10
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=200)),
                ("suspended_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(null=True)),
                ("end_reason", models.CharField(blank=True, max_length=200)),
                (
                    "ended_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "invoice",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.invoice"
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.organization"
                    ),
                ),
                (
                    "suspended_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at", None)), fields=("organization",), name="one_running_suspension"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("cause", "overdue"), ("invoice__isnull", False)),
                            models.Q(("cause", "operator"), models.Q(("reason", ""), _negated=True)),
                            _connector="OR",
                        ),
                        name="suspensions_have_a_cause",
                    ),
                ],
            },
        ),
        migrations.RunSQL(SUSPENDED_BEFORE, reverse_sql=""),
        migrations.RunSQL(OWN_ROWS, reverse_sql=FORGET_OWN_ROWS),
        isolate("billing_dunningpolicy"),
        forbid_changes("billing_dunningpolicy"),
        isolate("billing_dunningstep"),
        forbid_changes("billing_dunningstep"),
        isolate("billing_suspension"),
    ]
