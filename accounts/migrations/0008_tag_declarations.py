"""Which tags an organization has its usage summed by, and since when: history, which is never changed."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from accounts.row_security import forbid_changes, isolate


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0007_service_key_use"),
    ]

    operations = [
        migrations.CreateModel(
            name="TagDeclaration",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "keys",
                    django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=64), size=None),
                ),
                ("declared_at", models.DateTimeField()),
                (
                    "declared_by",
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
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.organization",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["organization", "-id"], name="tags_by_organization")],
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("keys__len__lte", 3)), name="three_tags_at_most")
                ],
            },
        ),
        isolate("accounts_tagdeclaration"),
        forbid_changes("accounts_tagdeclaration"),
    ]
