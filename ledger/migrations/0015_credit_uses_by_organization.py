"""A credit use can be referred to together with its organization, by what is sent back of a credit."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0014_business_standing"),
        ("ledger", "0013_settling_without_counting"),
    ]

    operations = [
        migrations.AddConstraint(
            model_name="credituse",
            constraint=models.UniqueConstraint(fields=("organization", "id"), name="credit_use_of_organization"),
        ),
    ]
