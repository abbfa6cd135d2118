"""What is worth asking for the password (or second factor) once more: whoever finds a browser open gets no further.

ACCOUNT_REAUTHENTICATION_TIMEOUT says for how long it is not asked for again.
"""

from allauth.account.decorators import reauthentication_required
from allauth.core.exceptions import ReauthenticationRequired
from django.http import HttpRequest


def require_recent_sign_in(request: HttpRequest) -> None:
    """Raises ReauthenticationRequired, on which allauth's middleware asks and then comes back, sending a form again."""
    _asked(request)


def has_signed_in_recently(request: HttpRequest) -> bool:
    """The same as an answer, for doors without pages."""
    try:
        _asked(request)
    except ReauthenticationRequired:
        return False
    return True


@reauthentication_required  # type: ignore[untyped-decorator]
def _asked(_request: HttpRequest) -> None:
    pass
