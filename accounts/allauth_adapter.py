"""How sign-up and sign-in behave: allauth's account adapter with our rules."""

import logging
from smtplib import SMTPException
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.contrib import messages
from django.core.mail import EmailMessage
from django.http import HttpRequest
from django.utils.translation import gettext as _

from accounts.mail_message import with_whole_subject
from accounts.mail_sender import mail_sender

logger = logging.getLogger(__name__)


class AccountAdapter(DefaultAccountAdapter):
    """E-mail accounts; new ones on the site only (operators are made by `setup_production`)."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return bool(settings.SIGNUP_IS_OPEN)

    def get_from_email(self) -> str:
        return mail_sender()

    def render_mail(self, *args: Any, **kwargs: Any) -> EmailMessage:
        return with_whole_subject(super().render_mail(*args, **kwargs))

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send at once. If the mail server does not answer, the account stands all the same, and the person is told what to do."""
        try:
            super().send_mail(template_prefix, email, context)
        except (OSError, SMTPException) as error:
            logger.error(
                "account mail not sent", extra={"template": template_prefix, "error_type": type(error).__name__}
            )
            messages.error(
                self.request,
                _("The e-mail could not be sent at the moment. Please sign in a little later: we send it again."),
            )
