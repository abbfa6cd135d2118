"""How sign-up and sign-in behave: allauth's account adapter with our rules."""

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.http import HttpRequest


class AccountAdapter(DefaultAccountAdapter):
    """E-mail accounts; new ones on the site only (operators are made by `setup_production`)."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return bool(settings.SIGNUP_IS_OPEN)
