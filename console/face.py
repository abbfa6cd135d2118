"""The console's face: Unfold in our colours and our Korean web font. Read by `config.console_settings` before Django is set up."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse, reverse_lazy
from django.utils.translation import gettext_lazy as _


def site_url(request: HttpRequest) -> str:
    return str(settings.SITE_URL)


def environment(request: HttpRequest) -> list[Any] | None:
    """What kind of installation this is, for all pages to say."""
    return [_("Demo"), "warning"] if settings.DEMO else None


def language_action(request: HttpRequest) -> str:
    return reverse("set_language")


NEUTRAL = {
    "50": "#f5f7f6", "100": "#eef2f0", "200": "#e1e7e4", "300": "#c6d0cb", "400": "#8a9994", "500": "#5f6d67",
    "600": "#44524d", "700": "#33403c", "800": "#242e2b", "900": "#131917", "950": "#0c1110",
}  # fmt: skip
CELADON = {
    "50": "#f0f8f5", "100": "#e3f2ed", "200": "#c9e6dc", "300": "#a9d5c8", "400": "#6fdcc1", "500": "#45c8a8",
    "600": "#0b7361", "700": "#085a4c", "800": "#0a4a3f", "900": "#12302a", "950": "#05201a",
}  # fmt: skip
"""The steps of static/css/tokens.css: 600 is its accent in the light, 500 in the dark."""

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": _("InvoiceDream console"),
    "SITE_HEADER": _("InvoiceDream"),
    "SITE_SUBHEADER": _("Console"),
    "SITE_URL": site_url,
    "SITE_ICON": lambda request: static("img/mark.svg"),
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("img/favicon.svg")}],
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_LANGUAGES": True,
    "SHOW_BACK_BUTTON": True,
    "LANGUAGES": {"action": language_action, "navigation": []},
    "ENVIRONMENT": environment,
    "BORDER_RADIUS": "7px",
    "COLORS": {
        "base": NEUTRAL,
        "primary": CELADON,
        "font": {
            "subtle-light": NEUTRAL["500"],
            "subtle-dark": NEUTRAL["400"],
            "default-light": NEUTRAL["600"],
            "default-dark": "#abb8b3",
            "important-light": "#121a17",
            "important-dark": "#e9efec",
        },
    },
    "STYLES": [
        lambda request: static("vendor/pretendard/pretendardvariable-dynamic-subset.css"),
        lambda request: static("css/tokens.css"),
        lambda request: static("css/console.css"),
    ],
    "ACCOUNT": {
        "navigation": [
            {"title": _("Two-factor authentication"), "link": reverse_lazy("mfa_index")},
            {"title": _("Change password"), "link": reverse_lazy("admin:password_change")},
        ]
    },
    "SIDEBAR": {"navigation": "console.navigation.sidebar"},
}
