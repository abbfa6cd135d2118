"""What audits found, for the operator only: the `app` role has no rights on it. A run is history."""

from django.db import migrations, models

from accounts.row_security import forbid_changes, revoke


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0006_sellers_are_history"),
    ]

    operations = [
        migrations.CreateModel(
            name="AuditRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("started_at", models.DateTimeField(db_index=True, verbose_name="started")),
                ("finished_at", models.DateTimeField(verbose_name="finished")),
                ("is_clean", models.BooleanField(verbose_name="clean")),
                ("invariants", models.PositiveSmallIntegerField(verbose_name="invariants checked")),
                ("violations", models.JSONField(default=dict)),
            ],
            options={
                "verbose_name": "audit",
                "verbose_name_plural": "audits",
            },
        ),
        revoke("billing_auditrun", rights="ALL", roles=("app",)),
        forbid_changes("billing_auditrun"),
    ]
