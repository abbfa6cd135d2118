"""What a key and an organization may ask of the gateway in a minute (docs/decisions/0019)."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0008_tag_declarations"),
    ]

    operations = [
        migrations.AddField(
            model_name="apikey",
            name="requests_per_minute",
            field=models.PositiveIntegerField(blank=True, null=True, verbose_name="requests a minute"),
        ),
        migrations.AddField(
            model_name="apikey",
            name="tokens_per_minute",
            field=models.PositiveIntegerField(blank=True, null=True, verbose_name="tokens a minute"),
        ),
        migrations.AddField(
            model_name="organization",
            name="requests_per_minute",
            field=models.PositiveIntegerField(blank=True, null=True, verbose_name="requests a minute"),
        ),
        migrations.AddField(
            model_name="organization",
            name="tokens_per_minute",
            field=models.PositiveIntegerField(blank=True, null=True, verbose_name="tokens a minute"),
        ),
    ]
