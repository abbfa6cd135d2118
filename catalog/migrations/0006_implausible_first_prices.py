"""A first price that cannot be meant waits for an operator too: one more doubt by name, nothing in the table changes."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("catalog", "0005_revisions_of_prices")]

    operations = [
        migrations.AlterField(
            model_name="quarantinedprice",
            name="doubt",
            field=models.CharField(
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
                    ("implausible", "Implausible first price"),
                ],
                max_length=20,
                verbose_name="doubt",
            ),
        ),
    ]
