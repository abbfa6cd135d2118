"""What customers are told about their spending, and the endpoints that hear of it; behind row security."""

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from accounts.row_security import isolate

OWN_ROWS = """
ALTER TABLE billing_webhookdelivery
    ADD CONSTRAINT delivery_webhook_is_of_organization
        FOREIGN KEY (organization_id, endpoint_id) REFERENCES billing_webhookendpoint (organization_id, id),
    ADD CONSTRAINT delivery_notice_is_of_organization
        FOREIGN KEY (organization_id, notice_id) REFERENCES billing_notice (organization_id, id);
"""
FORGET_OWN_ROWS = """
ALTER TABLE billing_webhookdelivery DROP CONSTRAINT delivery_webhook_is_of_organization,
    DROP CONSTRAINT delivery_notice_is_of_organization;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0008_tag_declarations"),
        ("billing", "0008_invoices_that_give_credit"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
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
                ],
                max_length=20,
            ),
        ),
        migrations.CreateModel(
            name="Notice",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("limit.threshold", "Spend limit: a share is used"),
                            ("limit.refusing", "Spend limit: calls are refused"),
                            ("credit.low", "Credit is low"),
                            ("key.stopped", "A key was stopped"),
                            ("webhook.disabled", "A webhook was switched off"),
                            ("webhook.test", "Test"),
                        ],
                        max_length=20,
                    ),
                ),
                ("key", models.CharField(max_length=150)),
                ("data", models.JSONField()),
                ("created_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.organization"
                    ),
                ),
            ],
            options={
                "verbose_name": "notice",
                "verbose_name_plural": "notices",
            },
        ),
        migrations.CreateModel(
            name="NoticeSetting",
            fields=[
                (
                    "organization",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="notice_setting",
                        serialize=False,
                        to="accounts.organization",
                    ),
                ),
                ("low_credit", models.DecimalField(decimal_places=20, max_digits=38)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("low_credit__gte", 0)), name="low_credit_not_negative")
                ],
            },
        ),
        migrations.CreateModel(
            name="WebhookEndpoint",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("url", models.CharField(max_length=500)),
                ("nonce", models.CharField(max_length=32)),
                ("created_at", models.DateTimeField()),
                ("failing_since", models.DateTimeField(blank=True, null=True)),
                ("disabled_at", models.DateTimeField(blank=True, null=True)),
                ("removed_at", models.DateTimeField(blank=True, null=True)),
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
            options={
                "verbose_name": "webhook",
                "verbose_name_plural": "webhooks",
            },
        ),
        migrations.CreateModel(
            name="WebhookDelivery",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                (
                    "status",
                    models.CharField(
                        choices=[("waiting", "Waiting"), ("delivered", "Delivered"), ("failed", "Failed")],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("next_attempt_at", models.DateTimeField()),
                ("last_error", models.CharField(blank=True, max_length=200)),
                ("created_at", models.DateTimeField()),
                ("delivered_at", models.DateTimeField(blank=True, null=True)),
                (
                    "notice",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="deliveries", to="billing.notice"
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.organization"
                    ),
                ),
                (
                    "endpoint",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="deliveries",
                        to="billing.webhookendpoint",
                    ),
                ),
            ],
            options={
                "verbose_name": "webhook delivery",
                "verbose_name_plural": "webhook deliveries",
            },
        ),
        migrations.AddConstraint(
            model_name="notice",
            constraint=models.UniqueConstraint(fields=("organization", "key"), name="one_notice_per_key"),
        ),
        migrations.AddConstraint(
            model_name="notice",
            constraint=models.UniqueConstraint(fields=("organization", "id"), name="notice_of_organization"),
        ),
        migrations.AddConstraint(
            model_name="notice",
            constraint=models.UniqueConstraint(
                condition=models.Q(("ended_at", None), ("kind", "credit.low")),
                fields=("organization",),
                name="one_running_low_credit",
            ),
        ),
        migrations.AddConstraint(
            model_name="webhookendpoint",
            constraint=models.UniqueConstraint(fields=("organization", "id"), name="webhook_of_organization"),
        ),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(
                condition=models.Q(("status", "waiting")), fields=["next_attempt_at"], name="delivery_waiting"
            ),
        ),
        migrations.AddConstraint(
            model_name="webhookdelivery",
            constraint=models.UniqueConstraint(fields=("endpoint", "notice"), name="one_delivery_per_endpoint"),
        ),
        migrations.RunSQL(OWN_ROWS, reverse_sql=FORGET_OWN_ROWS),
        isolate("billing_notice"),
        isolate("billing_noticesetting"),
        isolate("billing_webhookendpoint"),
        isolate("billing_webhookdelivery"),
    ]
