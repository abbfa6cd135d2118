"""Which sources are asked: those of EXCHANGE_RATE_SOURCES, the preferred one first."""

from collections.abc import Callable, Mapping

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from catalog.rate_sources.frankfurter import Frankfurter
from catalog.rate_sources.interface import RateSource
from catalog.rate_sources.koreaexim import Koreaexim

SOURCES: Mapping[str, Callable[[], RateSource]] = {"koreaexim": Koreaexim, "frankfurter": Frankfurter}


def source_named(name: str) -> RateSource:
    """Raises ImproperlyConfigured for one we do not know."""
    if name not in SOURCES:
        raise ImproperlyConfigured(f"There is no source of exchange rates called {name!r}: {', '.join(SOURCES)}.")
    return SOURCES[name]()


def configured_sources() -> list[RateSource]:
    """None, where rates are entered by hand only. Raises ImproperlyConfigured."""
    return [source_named(name) for name in settings.EXCHANGE_RATE_SOURCES]
