"""A price or markup that was wrong from its first moment on is corrected by a higher revision of that moment; it stays itself.

An exchange rate has revisions already; one that is dated back on purpose holds for months that have begun.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("catalog", "0004_markups_below_cost")]

    operations = [
        migrations.AddField(
            model_name="costprice",
            name="revision",
            field=models.PositiveSmallIntegerField(default=1, db_default=1),
        ),
        migrations.AddField(
            model_name="markuprule",
            name="revision",
            field=models.PositiveSmallIntegerField(default=1, db_default=1),
        ),
        migrations.AddField(
            model_name="exchangerate",
            name="backdated",
            field=models.BooleanField(default=False, db_default=False),
        ),
        migrations.RemoveConstraint(model_name="costprice", name="one_cost_price_per_moment"),
        migrations.AddConstraint(
            model_name="costprice",
            constraint=models.UniqueConstraint(
                fields=("cost_table", "language_model", "effective_from", "revision"), name="one_cost_price_per_moment"
            ),
        ),
        migrations.RemoveConstraint(model_name="markuprule", name="one_markup_per_moment"),
        migrations.AddConstraint(
            model_name="markuprule",
            constraint=models.UniqueConstraint(
                fields=("organization", "language_model", "provider_slug", "effective_from", "revision"),
                name="one_markup_per_moment",
                nulls_distinct=False,
            ),
        ),
    ]
