"""Price feeds and what of them waits for an operator. Both are ours alone: the `app` role has no rights on them."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from accounts.row_security import revoke


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0002_history_and_row_security"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="PriceFeed",
            fields=[
                (
                    "cost_table",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="feed",
                        serialize=False,
                        to="catalog.costtable",
                    ),
                ),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("imported", "Imported"),
                            ("unchanged", "Unchanged"),
                            ("refused", "Refused"),
                            ("unreachable", "Unreachable"),
                        ],
                        max_length=20,
                        verbose_name="outcome",
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=500, verbose_name="reason")),
                ("counts", models.JSONField(default=dict)),
                ("origin", models.CharField(blank=True, max_length=100)),
                ("tried_at", models.DateTimeField(null=True)),
                ("imported_at", models.DateTimeField(null=True)),
                ("changed_at", models.DateTimeField(null=True)),
                ("url", models.CharField(blank=True, max_length=500)),
                ("etag", models.CharField(blank=True, max_length=200)),
                ("last_modified", models.CharField(blank=True, max_length=100)),
            ],
            options={
                "verbose_name": "price feed",
                "verbose_name_plural": "price feeds",
            },
        ),
        migrations.AddField(
            model_name="languagemodel",
            name="own_fields",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=50), blank=True, default=list, size=None
            ),
        ),
        migrations.CreateModel(
            name="QuarantinedPrice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("slug", models.CharField(max_length=200, verbose_name="model ID")),
                (
                    "doubt",
                    models.CharField(
                        choices=[
                            ("zero", "Reads 0"),
                            ("jump", "Changes too much"),
                            ("negative", "Negative"),
                            ("unreadable", "No number"),
                            ("router", "Router or not"),
                            ("unpriced_media", "Answers in pictures or sound without a price of their own"),
                            ("by_hand", "Differs from a price entered by hand"),
                            ("delisted", "No longer listed"),
                            ("relisted", "Listed again"),
                        ],
                        max_length=20,
                        verbose_name="doubt",
                    ),
                ),
                ("raw", models.JSONField(null=True)),
                ("sheet", models.JSONField(null=True)),
                ("before", models.JSONField(null=True)),
                ("facts", models.JSONField(default=dict)),
                ("origin", models.CharField(max_length=100)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("open", "Waiting"),
                            ("approved", "Approved"),
                            ("refused", "Refused"),
                            ("withdrawn", "Withdrawn by the feed"),
                        ],
                        default="open",
                        max_length=20,
                        verbose_name="status",
                    ),
                ),
                ("noticed_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(null=True)),
                ("decided_at", models.DateTimeField(null=True)),
                ("reason", models.CharField(blank=True, max_length=200, verbose_name="reason")),
                (
                    "cost_table",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="quarantine", to="catalog.costtable"
                    ),
                ),
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
                    "language_model",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="quarantine",
                        to="catalog.languagemodel",
                    ),
                ),
            ],
            options={
                "verbose_name": "quarantined price",
                "verbose_name_plural": "quarantined prices",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at", None)),
                        fields=("cost_table", "slug"),
                        name="one_standing_doubt_per_model",
                    )
                ],
            },
        ),
        revoke("catalog_pricefeed", rights="ALL", roles=("app",)),
        revoke("catalog_quarantinedprice", rights="ALL", roles=("app",)),
        revoke("catalog_quarantinedprice", rights="DELETE", roles=("system",)),
    ]
