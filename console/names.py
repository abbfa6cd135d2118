"""What rows are called on the console."""

from django.db.models import Model


def name_of(row: Model) -> str:
    """A row's own name; those that have none go by kind and number."""
    return f"{row._meta.verbose_name} {row.pk}" if type(row).__str__ is Model.__str__ else str(row)
