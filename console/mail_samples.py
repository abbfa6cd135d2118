"""Every kind of mail as customers read it, in both languages, as HTML and as text; and, if asked, in the operator's own mailbox."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from billing.mail.mail_samples import sample, sample_names
from billing.mail.sample_mails import MOST_AN_HOUR, TooManySamples, recent_samples, send_sample
from console.site import site

LANGUAGES = (("ko", _("Korean")), ("en", _("English")))
FORMS = (("html", _("HTML")), ("text", _("Text")))
SHOWN = 5


@require_http_methods(["GET", "HEAD", "POST"])
def mail_samples(request: HttpRequest) -> HttpResponse:
    """One kind, the first unless another is asked for. Posted, it is sent to whoever is signed in."""
    now, names = timezone.now(), sample_names()
    chosen = {
        "name": request.GET.get("name", names[0]),
        "language": request.GET.get("language", get_language() or "ko"),
        "form": request.GET.get("form", "html"),
    }
    if chosen["language"] not in dict(LANGUAGES) or chosen["form"] not in dict(FORMS) or chosen["name"] not in names:
        raise Http404
    if request.method == "POST":
        _send(request, chosen)
        return redirect(reverse("admin:mail_samples") + _address(chosen))
    found = {name: sample(name, language=chosen["language"], now=now) for name in names}
    context = {
        "kinds": [(one, _address(chosen, name=one.name), one.name == chosen["name"]) for one in found.values()],
        "languages": _choices(chosen, "language", LANGUAGES),
        "forms": _choices(chosen, "form", FORMS),
        "shown": found[chosen["name"]],
        "language": chosen["language"],
        "form": chosen["form"],
        "sent": [
            (mail, found[mail.sample].label if mail.sample in found else mail.sample) for mail in _recent(request)
        ],
    }
    return site.render(request, "console/mail_samples.html", title=_("Mail samples"), **context)


def _send(request: HttpRequest, chosen: dict[str, str]) -> None:
    """To the operator's own address, and no other."""
    try:
        mail = send_sample(operator=request.user, name=chosen["name"], language=chosen["language"], now=timezone.now())
    except TooManySamples:
        text = gettext("You had %(count)d samples sent within the hour. Please wait before the next one.")
        messages.warning(request, text % {"count": MOST_AN_HOUR})
    else:
        messages.success(request, gettext("The sample is on its way to %(address)s.") % {"address": mail.recipient})


def _recent(request: HttpRequest) -> Any:
    return recent_samples(request.user)[:SHOWN]


def _choices(chosen: dict[str, str], field: str, choices: Any) -> list[tuple[Any, str, bool]]:
    return [(label, _address(chosen, **{field: value}), value == chosen[field]) for value, label in choices]


def _address(chosen: dict[str, str], **changes: str) -> str:
    return "?" + urlencode(chosen | changes)


site.pages += [path("mails/samples/", site.admin_view(mail_samples), name="mail_samples")]
