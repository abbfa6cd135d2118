"""Who serves which model: upstreams, routes to them, and their daily bills. All three are ours: `app` has no rights on them."""

import django.db.models.deletion
from django.db import migrations, models

from accounts.row_security import revoke


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0006_implausible_first_prices"),
    ]

    operations = [
        migrations.CreateModel(
            name="Upstream",
            fields=[
                ("id", models.AutoField(primary_key=True, serialize=False)),
                ("slug", models.SlugField(unique=True, verbose_name="ID")),
                ("name", models.CharField(max_length=100, verbose_name="name")),
                (
                    "kind",
                    models.CharField(
                        choices=[("openrouter", "OpenRouter"), ("openai_compatible", "OpenAI-compatible server")],
                        max_length=20,
                        verbose_name="kind",
                    ),
                ),
                ("base_url", models.CharField(max_length=300, verbose_name="address")),
                ("key_variable", models.CharField(blank=True, max_length=100, verbose_name="variable of the key")),
                ("enabled", models.BooleanField(default=True, verbose_name="in use")),
                ("connect_seconds", models.FloatField(blank=True, null=True, verbose_name="seconds to connect")),
                (
                    "first_byte_seconds",
                    models.FloatField(blank=True, null=True, verbose_name="seconds to the first byte"),
                ),
                ("chunk_seconds", models.FloatField(blank=True, null=True, verbose_name="seconds between chunks")),
                ("total_seconds", models.FloatField(blank=True, null=True, verbose_name="seconds in all")),
                ("connections", models.PositiveIntegerField(blank=True, null=True, verbose_name="connections at most")),
                ("created_at", models.DateTimeField()),
                ("updated_at", models.DateTimeField()),
                (
                    "cost_table",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="upstreams", to="catalog.costtable"
                    ),
                ),
            ],
            options={
                "verbose_name": "upstream",
                "verbose_name_plural": "upstreams",
            },
        ),
        migrations.CreateModel(
            name="UpstreamBill",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("upstream", models.CharField(max_length=50)),
                ("day", models.DateField()),
                ("billed", models.DecimalField(decimal_places=20, max_digits=38)),
                ("recorded", models.DecimalField(decimal_places=20, max_digits=38)),
                ("checked_at", models.DateTimeField()),
            ],
            options={
                "verbose_name": "upstream's bill",
                "verbose_name_plural": "upstreams' bills",
                "constraints": [
                    models.UniqueConstraint(fields=("upstream", "day"), name="one_bill_per_upstream_and_day")
                ],
            },
        ),
        migrations.CreateModel(
            name="ModelRoute",
            fields=[
                ("id", models.AutoField(primary_key=True, serialize=False)),
                ("upstream_model", models.CharField(blank=True, max_length=200, verbose_name="name there")),
                ("priority", models.PositiveSmallIntegerField(default=10, verbose_name="priority")),
                ("enabled", models.BooleanField(default=True, verbose_name="in use")),
                ("created_at", models.DateTimeField()),
                ("updated_at", models.DateTimeField()),
                (
                    "language_model",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="routes",
                        to="catalog.languagemodel",
                    ),
                ),
                (
                    "upstream",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="routes", to="catalog.upstream"
                    ),
                ),
            ],
            options={
                "verbose_name": "model route",
                "verbose_name_plural": "model routes",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("upstream", "language_model"),
                        name="one_route_per_upstream_and_model",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("language_model__isnull", False), ("upstream_model", ""), _connector="OR"),
                        name="general_route_keeps_names",
                    ),
                ],
            },
        ),
        revoke("catalog_upstream", rights="ALL", roles=("app",)),
        revoke("catalog_modelroute", rights="ALL", roles=("app",)),
        revoke("catalog_upstreambill", rights="ALL", roles=("app",)),
        revoke("catalog_upstream", rights="DELETE", roles=("system",)),
    ]
