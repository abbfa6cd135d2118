"""Which language pages speak: the one that this browser was told, else the signed-in reader's own, else what the browser prefers.

The switch is Django's own view, which sets the cookie; a signed-in person's choice is kept with the account as well.
"""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django.utils.translation import check_for_language
from django.views.decorators.http import require_POST
from django.views.i18n import set_language as set_language_cookie

from accounts.models import User


class ReadersLanguageMiddleware:
    """Has every page speak the language of whoever is signed in: their dashboard, the price list and what allauth shows alike.

    Looks at the person only where a session came along; stands behind LocaleMiddleware and AuthenticationMiddleware.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        told = settings.LANGUAGE_COOKIE_NAME in request.COOKIES
        if not told and settings.SESSION_COOKIE_NAME in request.COOKIES and request.user.is_authenticated:
            translation.activate(request.user.language)
            request.LANGUAGE_CODE = translation.get_language()
        return self.get_response(request)


@require_POST
def set_language(request: HttpRequest) -> HttpResponse:
    chosen = request.POST.get("language", "")
    if request.user.is_authenticated and chosen in dict(settings.LANGUAGES) and check_for_language(chosen):
        User.objects.filter(pk=request.user.pk).update(language=chosen)
    return set_language_cookie(request)
