"""Small parts of pages that are not figures: icons and the state of navigation."""

from django import template
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_tag
def icon(name: str, extra: str = "") -> SafeString:
    """A symbol of `static/img/icons.svg`. It is decoration: the text beside it, or the button's label, says what it means."""
    return format_html(
        '<svg class="icon {}" aria-hidden="true" focusable="false"><use href="{}#{}"/></svg>',
        extra,
        static("img/icons.svg"),
        name,
    )


@register.simple_tag
def current(section: str | None, name: str) -> SafeString | str:
    """` aria-current="page"` where the page's `section` is this one."""
    return format_html(' aria-current="{}"', "page") if section == name else ""


@register.filter
def monogram(name: object) -> str:
    """The first letter of a name, for the square beside it."""
    return str(name).strip()[:1] or "·"
