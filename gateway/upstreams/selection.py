"""Which upstream answers: OpenRouter where its key is set, else the OpenAI-compatible server that the settings name."""

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from gateway.upstreams.base import Limits
from gateway.upstreams.openai_compatible import OpenAICompatible

OPENROUTER = "openrouter"
OTHER = "openai_compatible"
EVENT_BYTES = 8 * 1024 * 1024
"""One event may carry a picture, but no more."""


def choose_upstream() -> OpenAICompatible:
    """The upstream of this process. Raises ImproperlyConfigured if the settings name none.

    OpenRouter answers with names of our catalog, and a router's answer is priced by the model that it names. Other servers echo
    an alias or the file that they loaded, so there the requested model is the one that answered.
    """
    if settings.OPENROUTER_API_KEY:
        return OpenAICompatible(
            name=OPENROUTER,
            base_url=settings.OPENROUTER_BASE_URL,
            api_key=settings.OPENROUTER_API_KEY,
            limits=call_limits(),
            trusts_model_ids=True,
            headers={"HTTP-Referer": settings.SITE_URL, "X-Title": "InvoiceDream"},
        )
    if settings.UPSTREAM_BASE_URL:
        return OpenAICompatible(
            name=OTHER,
            base_url=settings.UPSTREAM_BASE_URL,
            api_key=settings.UPSTREAM_API_KEY,
            limits=call_limits(),
            trusts_model_ids=False,
        )
    raise ImproperlyConfigured("The gateway has no upstream: set OPENROUTER_API_KEY or UPSTREAM_BASE_URL.")


def call_limits() -> Limits:
    """The bounds of one call, from the settings."""
    return Limits(
        connect=settings.GATEWAY_CONNECT_SECONDS,
        first_byte=settings.GATEWAY_FIRST_BYTE_SECONDS,
        between_chunks=settings.GATEWAY_CHUNK_SECONDS,
        total=settings.GATEWAY_TOTAL_SECONDS,
        answer_bytes=settings.GATEWAY_MAX_ANSWER_BYTES,
        event_bytes=EVENT_BYTES,
    )
