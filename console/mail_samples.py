"""Every kind of mail as customers read it, in both languages, as HTML and as text: nothing is sent, nothing is written."""

from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from billing.mail.mail_samples import sample, sample_names
from console.site import site

LANGUAGES = (("ko", _("Korean")), ("en", _("English")))
FORMS = (("html", _("HTML")), ("text", _("Text")))


@require_safe
def mail_samples(request: HttpRequest) -> HttpResponse:
    """One kind, the first unless another is asked for."""
    now, names = timezone.now(), sample_names()
    chosen = {
        "name": request.GET.get("name", names[0]),
        "language": request.GET.get("language", get_language() or "ko"),
        "form": request.GET.get("form", "html"),
    }
    if chosen["language"] not in dict(LANGUAGES) or chosen["form"] not in dict(FORMS) or chosen["name"] not in names:
        raise Http404
    found = {name: sample(name, language=chosen["language"], now=now) for name in names}
    context = {
        "kinds": [(one, _address(chosen, name=one.name), one.name == chosen["name"]) for one in found.values()],
        "languages": _choices(chosen, "language", LANGUAGES),
        "forms": _choices(chosen, "form", FORMS),
        "shown": found[chosen["name"]],
        "language": chosen["language"],
        "form": chosen["form"],
    }
    return site.render(request, "console/mail_samples.html", title=_("Mail samples"), **context)


def _choices(chosen: dict[str, str], field: str, choices: Any) -> list[tuple[Any, str, bool]]:
    return [(label, _address(chosen, **{field: value}), value == chosen[field]) for value, label in choices]


def _address(chosen: dict[str, str], **changes: str) -> str:
    return "?" + urlencode(chosen | changes)


site.pages += [path("mails/samples/", site.admin_view(mail_samples), name="mail_samples")]
