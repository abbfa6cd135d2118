"""Remember what a newcomer calls their organization until the address is confirmed and it is opened."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_row_security")]

    operations = [
        migrations.AddField("user", "organization_name", models.CharField(blank=True, max_length=100)),
    ]
