"""Mail comes from the product under the name that its reader knows."""

import pytest
from django.utils import translation
from pytest_django.fixtures import Settings

from accounts.mail_sender import mail_sender


@pytest.mark.parametrize(
    ("configured", "korean", "english"),
    [
        ("billing@shop.example", "인보이스랩 <billing@shop.example>", "InvoiceDream <billing@shop.example>"),
        ("Shop <billing@shop.example>", "Shop <billing@shop.example>", "Shop <billing@shop.example>"),
    ],
    ids=["an-address", "an-address-with-a-name"],
)
def test_the_sender_is_named_in_the_language_of_the_mail(
    settings: Settings, configured: str, korean: str, english: str
) -> None:
    settings.DEFAULT_FROM_EMAIL = configured
    for language, expected in (("ko", korean), ("en", english)):
        with translation.override(language):
            assert mail_sender() == expected
