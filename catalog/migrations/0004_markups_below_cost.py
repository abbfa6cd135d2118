"""Selling below cost needs somebody's reason. Older rules are history and stay as they are; only new ones are checked."""

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("catalog", "0003_price_feed")]

    operations = [
        migrations.AddField(
            model_name="markuprule", name="below_cost_approved", field=models.BooleanField(default=False)
        ),
        AddConstraintNotValid(
            model_name="markuprule",
            constraint=models.CheckConstraint(
                condition=Q(markup=None) | Q(markup__gte=0) | (Q(below_cost_approved=True) & ~Q(reason="")),
                name="markup_below_cost_is_approved",
            ),
        ),
    ]
