"""What the console's own templates need."""

from typing import Any

from django import template
from django.db.models import Model
from django.utils.text import capfirst

from catalog.rate_history import PublishedRate
from console.names import name_of
from console.own_words import in_words
from console.rate_standing import in_one_line

register = template.Library()


@register.filter
def row_name(title: Any) -> str:
    """A title with a capital; of a row, what it is called, to the letter."""
    return name_of(title) if isinstance(title, Model) else capfirst(str(title))


@register.filter
def words_of(text: Any, field: str) -> Any:
    """A text of ours in the reader's language: `{{ hold.upstream|words_of:"upstream" }}`."""
    return in_words(field, text)


@register.filter
def rate_line(rate: PublishedRate | None) -> str:
    """An exchange rate with its source and day; what it means that there is none."""
    return in_one_line(rate)
