"""Which provider this installation has: Popbill where `POPBILL_LINK_ID` is set, else none, and an operator issues by hand."""

from functools import lru_cache

from django.conf import settings

from billing.tax.providers.interface import TaxProvider
from billing.tax.providers.popbill import Popbill
from billing.tax.providers.popbill_login import Login


@lru_cache(maxsize=4)
def _popbill(
    link_id: str, secret_key: str, corp_number: str, user_id: str, base_url: str, auth_url: str, service: str
) -> Popbill:
    login = Login(link_id=link_id, secret_key=secret_key, corp_number=corp_number, auth_url=auth_url, service=service)
    return Popbill(login=login, base_url=base_url, user_id=user_id)


def tax_provider(*, supplier_number: str) -> TaxProvider | None:
    """The provider of the supplier with this registration number, unless the settings name another member of the provider."""
    if not settings.POPBILL_LINK_ID:
        return None
    return _popbill(
        settings.POPBILL_LINK_ID,
        settings.POPBILL_SECRET_KEY,
        settings.POPBILL_CORP_NUMBER or supplier_number,
        settings.POPBILL_USER_ID,
        settings.POPBILL_BASE_URL,
        settings.POPBILL_AUTH_URL,
        "POPBILL_TEST" if settings.POPBILL_IS_TEST else "POPBILL",
    )
