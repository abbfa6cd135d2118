"""How amounts of invoices are stored."""

from typing import Any

from django.db import models


def minor_unit_field(**options: Any) -> Any:
    """An amount that was rounded to the currency's minor unit: whole won, cents."""
    return models.DecimalField(max_digits=18, decimal_places=2, **options)
