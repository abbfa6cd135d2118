"""Whom mail comes from: the address of the settings, under the product's name in the language of the mail."""

from email.utils import parseaddr

from django.conf import settings
from django.utils.translation import gettext as _


def mail_sender() -> str:
    """`인보이스랩 <billing@…>` or `InvoiceDream <billing@…>`, as the active language has it; a name in the settings stands."""
    name, address = parseaddr(settings.DEFAULT_FROM_EMAIL)
    return settings.DEFAULT_FROM_EMAIL if name else f"{_('InvoiceDream')} <{address}>"
