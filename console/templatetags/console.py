"""What the console's own templates need."""

from typing import Any

from django import template
from django.db.models import Model
from django.utils.text import capfirst

from console.names import name_of

register = template.Library()


@register.filter
def row_name(title: Any) -> str:
    """A title with a capital; of a row, what it is called, to the letter."""
    return name_of(title) if isinstance(title, Model) else capfirst(str(title))
