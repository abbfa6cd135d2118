"""Limits of members and days, a soft one beside a hard one; keys that the velocity breaker stopped.

The BRIN index finds the holds of the last minutes: rows come in the order of time, so it stays tiny and costs a writer next to nothing.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from accounts.row_security import isolate

OWN_KEYS = """
ALTER TABLE ledger_keystop ADD CONSTRAINT stopped_key_is_of_organization
    FOREIGN KEY (organization_id, api_key_id) REFERENCES accounts_apikey (organization_id, id);
ALTER TABLE ledger_velocitycap ADD CONSTRAINT velocity_cap_key_is_of_organization
    FOREIGN KEY (organization_id, api_key_id) REFERENCES accounts_apikey (organization_id, id);
CREATE INDEX ledger_hold_by_time ON ledger_hold USING brin (created_at) WITH (pages_per_range = 16);
"""
FORGET_OWN_KEYS = """
DROP INDEX ledger_hold_by_time;
ALTER TABLE ledger_velocitycap DROP CONSTRAINT velocity_cap_key_is_of_organization;
ALTER TABLE ledger_keystop DROP CONSTRAINT stopped_key_is_of_organization;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0007_service_key_use"),
        ("ledger", "0005_double_entry"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="KeyStop",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "cause",
                    models.CharField(
                        choices=[("cap", "Above its cap"), ("unusual", "Far above its usual spend")], max_length=10
                    ),
                ),
                ("seconds", models.PositiveIntegerField()),
                ("spent", models.DecimalField(decimal_places=20, max_digits=38)),
                ("allowed", models.DecimalField(decimal_places=20, max_digits=38)),
                ("stopped_at", models.DateTimeField()),
                ("lifted_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "verbose_name": "stopped key",
                "verbose_name_plural": "stopped keys",
            },
        ),
        migrations.CreateModel(
            name="VelocityCap",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("amount", models.DecimalField(blank=True, decimal_places=20, max_digits=38, null=True)),
            ],
            options={
                "verbose_name": "velocity cap",
                "verbose_name_plural": "velocity caps",
            },
        ),
        migrations.RemoveConstraint(
            model_name="spendlimit",
            name="one_limit_per_window",
        ),
        migrations.AddField(
            model_name="balance",
            name="stopped",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="spendlimit",
            name="member",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="spendlimit",
            name="refused_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name="spendlimit",
            name="window",
            field=models.CharField(choices=[("day", "Day"), ("month", "Month")], default="month", max_length=10),
        ),
        migrations.AddConstraint(
            model_name="spendlimit",
            constraint=models.UniqueConstraint(
                fields=("organization", "api_key", "member", "window", "hard"),
                name="one_limit_per_window",
                nulls_distinct=False,
            ),
        ),
        migrations.AddConstraint(
            model_name="spendlimit",
            constraint=models.CheckConstraint(
                condition=models.Q(("api_key", None), ("member", None), _connector="OR"),
                name="limit_of_a_key_or_a_member_or_the_whole",
            ),
        ),
        migrations.AddField(
            model_name="keystop",
            name="api_key",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.apikey"
            ),
        ),
        migrations.AddField(
            model_name="keystop",
            name="lifted_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="keystop",
            name="organization",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.organization"
            ),
        ),
        migrations.AddField(
            model_name="velocitycap",
            name="api_key",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.apikey",
            ),
        ),
        migrations.AddField(
            model_name="velocitycap",
            name="organization",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.organization"
            ),
        ),
        migrations.AddConstraint(
            model_name="keystop",
            constraint=models.UniqueConstraint(
                condition=models.Q(("lifted_at", None)),
                fields=("organization", "api_key"),
                name="one_open_stop_per_key",
            ),
        ),
        migrations.AddConstraint(
            model_name="velocitycap",
            constraint=models.UniqueConstraint(
                fields=("organization", "api_key"), name="one_velocity_cap_per_key", nulls_distinct=False
            ),
        ),
        migrations.AddConstraint(
            model_name="velocitycap",
            constraint=models.CheckConstraint(condition=models.Q(("amount__gt", 0)), name="velocity_cap_positive"),
        ),
        migrations.RunSQL(OWN_KEYS, reverse_sql=FORGET_OWN_KEYS),
        isolate("ledger_keystop"),
        isolate("ledger_velocitycap"),
    ]
