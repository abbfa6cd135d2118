"""From when on an organization that closes uses nothing, and how long its members may read after that."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0014_business_standing"),
    ]

    operations = [
        migrations.AddField(
            model_name="organization",
            name="closes_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="organization",
            name="readable_until",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name="organization",
            name="status",
            field=models.CharField(
                choices=[
                    ("active", "Active"),
                    ("suspended", "Suspended"),
                    ("closing", "Being closed"),
                    ("closed", "Closed"),
                ],
                default="active",
                max_length=10,
            ),
        ),
        migrations.AddConstraint(
            model_name="organization",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("status__in", ["closing", "closed"]), _negated=True),
                    ("closes_at__isnull", False),
                    _connector="OR",
                ),
                name="what_closes_has_a_moment",
            ),
        ),
    ]
