"""The language switch: Django's own view, which sets the cookie; a signed-in person's choice is kept with the account as well."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.translation import check_for_language
from django.views.decorators.http import require_POST
from django.views.i18n import set_language as set_language_cookie

from accounts.models import User


@require_POST
def set_language(request: HttpRequest) -> HttpResponse:
    chosen = request.POST.get("language", "")
    if request.user.is_authenticated and chosen in dict(settings.LANGUAGES) and check_for_language(chosen):
        User.objects.filter(pk=request.user.pk).update(language=chosen)
    return set_language_cookie(request)
