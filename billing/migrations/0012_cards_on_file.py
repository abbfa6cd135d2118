"""Cards on file, who is charged by itself, automatic top-ups; a payment without an invoice buys prepaid credit."""

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from accounts.row_security import isolate

OWN_ROWS = """
ALTER TABLE billing_cardsetup ADD CONSTRAINT setup_method_is_of_organization
    FOREIGN KEY (organization_id, method_id) REFERENCES billing_paymentmethod (organization_id, id);
ALTER TABLE billing_collectionsetting ADD CONSTRAINT default_method_is_of_organization
    FOREIGN KEY (organization_id, default_method_id) REFERENCES billing_paymentmethod (organization_id, id);
"""
FORGET_OWN_ROWS = """
ALTER TABLE billing_collectionsetting DROP CONSTRAINT default_method_is_of_organization;
ALTER TABLE billing_cardsetup DROP CONSTRAINT setup_method_is_of_organization;
"""
KEEP_PAYMENT = """
CREATE OR REPLACE FUNCTION keep_payment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.amount <> NEW.amount OR OLD.currency <> NEW.currency {invoice} OR OLD.idempotency_key <> NEW.idempotency_key
        OR (OLD.status IN ('succeeded', 'failed', 'canceled') AND NEW.status <> OLD.status)
    THEN
        RAISE EXCEPTION 'payment % is settled or would be changed in what it pays', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
"""
WITH_TOP_UPS = KEEP_PAYMENT.format(invoice="OR OLD.invoice_id IS DISTINCT FROM NEW.invoice_id")
INVOICES_ONLY = KEEP_PAYMENT.format(invoice="OR OLD.invoice_id <> NEW.invoice_id")


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0011_rights_on_users"),
        ("billing", "0009_notices_and_webhooks"),
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
                    ("top_up", "Top-up receipt"),
                    ("top_up_failed", "Automatic top-up failed"),
                ],
                max_length=20,
            ),
        ),
        migrations.CreateModel(
            name="AutomaticTopUp",
            fields=[
                (
                    "organization",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="automatic_top_up",
                        serialize=False,
                        to="accounts.organization",
                    ),
                ),
                ("is_on", models.BooleanField(default=False, verbose_name="on")),
                ("threshold", models.DecimalField(decimal_places=20, max_digits=38)),
                ("amount", models.DecimalField(decimal_places=20, max_digits=38)),
                ("monthly_cap", models.DecimalField(decimal_places=20, max_digits=38)),
                ("stopped_at", models.DateTimeField(blank=True, null=True, verbose_name="stopped")),
                ("failure", models.CharField(blank=True, max_length=200)),
            ],
        ),
        migrations.CreateModel(
            name="CardSetup",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("processor", models.CharField(max_length=20)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("unknown", "Unknown"),
                            ("open", "Waiting for the customer"),
                            ("succeeded", "Card added"),
                            ("ended", "Ended without a card"),
                        ],
                        default="unknown",
                        max_length=10,
                    ),
                ),
                ("reference", models.CharField(blank=True, max_length=255)),
                ("action_url", models.CharField(blank=True, max_length=2000)),
                ("created_at", models.DateTimeField()),
                ("checked_at", models.DateTimeField(blank=True, null=True)),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name="CollectionSetting",
            fields=[
                (
                    "organization",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="collection_setting",
                        serialize=False,
                        to="accounts.organization",
                    ),
                ),
                ("is_automatic", models.BooleanField(default=False)),
            ],
        ),
        migrations.CreateModel(
            name="ProcessorCustomer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("processor", models.CharField(max_length=20)),
                ("reference", models.CharField(max_length=255)),
                ("created_at", models.DateTimeField()),
            ],
        ),
        migrations.AlterModelOptions(
            name="paymentmethod",
            options={"verbose_name": "payment method", "verbose_name_plural": "payment methods"},
        ),
        migrations.AlterModelOptions(
            name="automatictopup",
            options={"verbose_name": "automatic top-up", "verbose_name_plural": "automatic top-ups"},
        ),
        migrations.AlterField(
            model_name="paymentmethod",
            name="label",
            field=models.CharField(max_length=50, verbose_name="card"),
        ),
        migrations.AlterField(
            model_name="paymentmethod",
            name="removed_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="removed"),
        ),
        migrations.AddField(
            model_name="paymentmethod",
            name="added_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="added by",
            ),
        ),
        migrations.AddField(
            model_name="paymentmethod",
            name="detached_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="forgotten by the processor"),
        ),
        migrations.AddField(
            model_name="paymentmethod",
            name="expires_on",
            field=models.DateField(blank=True, null=True, verbose_name="valid until"),
        ),
        migrations.AlterField(
            model_name="payment",
            name="invoice",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="payments", to="billing.invoice"
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.UniqueConstraint(
                condition=models.Q(("invoice", None), ("status__in", ["pending", "requires_action", "unknown"])),
                fields=("organization",),
                name="one_open_top_up_per_organization",
            ),
        ),
        migrations.AddConstraint(
            model_name="automatictopup",
            constraint=models.CheckConstraint(
                condition=models.Q(("threshold__gt", 0), ("amount__gt", 0), ("monthly_cap__gte", models.F("amount"))),
                name="automatic_top_up_can_be_made",
            ),
        ),
        migrations.AddField(
            model_name="cardsetup",
            name="method",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.paymentmethod"
            ),
        ),
        migrations.AddField(
            model_name="cardsetup",
            name="organization",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.organization"
            ),
        ),
        migrations.AddField(
            model_name="cardsetup",
            name="started_by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="collectionsetting",
            name="default_method",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.paymentmethod"
            ),
        ),
        migrations.AddField(
            model_name="processorcustomer",
            name="organization",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.organization"
            ),
        ),
        migrations.AddConstraint(
            model_name="cardsetup",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status__in", ["unknown", "open"])), fields=("organization",), name="one_open_setup"
            ),
        ),
        migrations.AddConstraint(
            model_name="cardsetup",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("status", "succeeded"), _negated=True), ("method__isnull", False), _connector="OR"
                ),
                name="setup_succeeds_with_a_card",
            ),
        ),
        migrations.AddConstraint(
            model_name="collectionsetting",
            constraint=models.CheckConstraint(
                condition=models.Q(("is_automatic", False), ("default_method__isnull", False), _connector="OR"),
                name="automatic_payment_has_a_card",
            ),
        ),
        migrations.AddConstraint(
            model_name="processorcustomer",
            constraint=models.UniqueConstraint(fields=("organization", "processor"), name="one_customer_per_processor"),
        ),
        migrations.AddConstraint(
            model_name="processorcustomer",
            constraint=models.UniqueConstraint(fields=("processor", "reference"), name="one_organization_per_customer"),
        ),
        migrations.RunSQL(OWN_ROWS, reverse_sql=FORGET_OWN_ROWS),
        migrations.RunSQL(WITH_TOP_UPS, reverse_sql=INVOICES_ONLY),
        isolate("billing_processorcustomer"),
        isolate("billing_cardsetup"),
        isolate("billing_collectionsetting"),
        isolate("billing_automatictopup"),
    ]
