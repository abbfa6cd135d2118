"""Which template a paper was set with: it is rendered again by the same one."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0026_processor_outflows")]

    operations = [
        migrations.AddField("document", "template", models.PositiveSmallIntegerField(default=1, db_default=1)),
    ]
