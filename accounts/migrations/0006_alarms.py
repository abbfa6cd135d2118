"""Alarms, which only the operator sees: the `app` role has no rights on them."""

from django.db import migrations, models

from accounts.row_security import revoke


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_invitations_and_rotation"),
    ]

    operations = [
        migrations.CreateModel(
            name="Alarm",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(max_length=40, verbose_name="kind")),
                ("subject", models.CharField(max_length=200, verbose_name="subject")),
                ("summary", models.CharField(max_length=500, verbose_name="summary")),
                ("detail", models.JSONField(default=dict)),
                ("raised_at", models.DateTimeField(verbose_name="raised")),
                ("last_seen_at", models.DateTimeField(verbose_name="last seen")),
                ("cleared_at", models.DateTimeField(null=True, verbose_name="cleared")),
            ],
            options={
                "verbose_name": "alarm",
                "verbose_name_plural": "alarms",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("cleared_at", None)),
                        fields=("kind", "subject"),
                        name="one_open_alarm_per_subject",
                    )
                ],
            },
        ),
        revoke("accounts_alarm", rights="ALL", roles=("app",)),
    ]
