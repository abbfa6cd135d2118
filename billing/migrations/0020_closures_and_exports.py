"""Organizations are closed, with a final invoice, and get all that is theirs as one file."""

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from accounts.row_security import isolate

KEEP_PERIOD = """
CREATE OR REPLACE FUNCTION keep_period() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.status = 'closed' AND NEW.status <> 'closed'
        OR (OLD.organization_id, OLD.starts_at) <> (NEW.organization_id, NEW.starts_at)
        OR OLD.ends_at <> NEW.ends_at {unless}
    THEN
        RAISE EXCEPTION 'period % is closed or would be moved', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
"""
MAY_BE_CUT = KEEP_PERIOD.format(
    unless="AND NOT (OLD.status = 'open' AND NEW.status = 'open' AND NEW.ends_at < OLD.ends_at)"
)
MAY_NOT_BE_CUT = KEEP_PERIOD.format(unless="")


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0015_closing_moment"),
        ("billing", "0023_credit_payouts"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name="invoice",
            name="kind",
            field=models.CharField(
                choices=[("monthly", "Monthly"), ("final", "Final")], default="monthly", max_length=10
            ),
        ),
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
                    ("closure.asked", "The organization will be closed"),
                    ("closure.withdrawn", "The organization is not closed after all"),
                    ("account.closing", "The organization uses nothing any more"),
                    ("account.closed", "The organization is closed"),
                    ("webhook.disabled", "A webhook was switched off"),
                    ("webhook.test", "Test"),
                ],
                max_length=20,
            ),
        ),
        migrations.CreateModel(
            name="Closure",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("asked", "To be closed"),
                            ("settling", "Settling"),
                            ("closed", "Closed"),
                            ("withdrawn", "Withdrawn"),
                        ],
                        default="asked",
                        max_length=10,
                    ),
                ),
                ("at_once", models.BooleanField()),
                ("by_operator", models.BooleanField()),
                ("reason", models.CharField(blank=True, max_length=200)),
                ("asked_at", models.DateTimeField()),
                ("closes_at", models.DateTimeField()),
                ("withdrawn_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                ("closed_at", models.DateTimeField(null=True)),
                (
                    "asked_by",
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
                        on_delete=django.db.models.deletion.PROTECT, related_name="closures", to="accounts.organization"
                    ),
                ),
                (
                    "withdrawn_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "closure",
                "verbose_name_plural": "closures",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("status", "withdrawn"), _negated=True),
                        fields=("organization",),
                        name="one_closure_per_organization",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("by_operator", False), models.Q(("reason", ""), _negated=True), _connector="OR"
                        ),
                        name="operators_close_for_a_reason",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("closed_at", None), ("ended_at", None), ("status", "asked"), ("withdrawn_at", None)
                            ),
                            models.Q(
                                ("closed_at", None),
                                ("ended_at__isnull", False),
                                ("status", "settling"),
                                ("withdrawn_at", None),
                            ),
                            models.Q(
                                ("closed_at__isnull", False),
                                ("ended_at__isnull", False),
                                ("status", "closed"),
                                ("withdrawn_at", None),
                            ),
                            models.Q(
                                ("closed_at", None),
                                ("ended_at", None),
                                ("status", "withdrawn"),
                                ("withdrawn_at__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="closure_goes_step_by_step",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="DataExport",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("running", "Being made"),
                            ("ready", "Ready"),
                            ("failed", "Failed"),
                            ("expired", "Expired"),
                        ],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                ("asked_at", models.DateTimeField()),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("seen_at", models.DateTimeField(null=True)),
                ("part", models.CharField(blank=True, max_length=60)),
                ("done", models.PositiveBigIntegerField(default=0)),
                ("total", models.PositiveBigIntegerField(default=0)),
                ("failure", models.CharField(blank=True, max_length=200)),
                ("path", models.CharField(blank=True, max_length=200)),
                ("sha256", models.CharField(blank=True, max_length=64)),
                ("size", models.PositiveBigIntegerField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                ("expires_at", models.DateTimeField(null=True)),
                (
                    "asked_by",
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
            options={
                "verbose_name": "data export",
                "verbose_name_plural": "data exports",
                "indexes": [models.Index(fields=["organization", "-asked_at"], name="export_by_organization")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("status__in", ["waiting", "running"])),
                        fields=("organization",),
                        name="one_open_export",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("status", "ready"), _negated=True),
                            models.Q(
                                ("expires_at__isnull", False),
                                ("size__isnull", False),
                                models.Q(("sha256", ""), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="ready_exports_have_a_hash",
                    ),
                ],
            },
        ),
        migrations.RunSQL(MAY_BE_CUT, reverse_sql=MAY_NOT_BE_CUT),
        isolate("billing_closure"),
        isolate("billing_dataexport"),
    ]
