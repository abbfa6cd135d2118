"""The facts of all models beside the price book's memory, for pages that set hundreds of them side by side.

A change of any model gives the price book a new snapshot, and that is when the rows are read again.
"""

from collections.abc import Sequence

from catalog import price_book
from catalog.models import LanguageModel
from catalog.price_snapshot import PriceSnapshot
from catalog.search_words import finder

FACTS = (
    "slug", "page_slug", "name", "provider", "provider_slug", "context_length", "max_completion_tokens",
    "input_modalities", "output_modalities", "is_router", "cost_table",
)  # fmt: skip
"""What is kept of a model. Descriptions are not: whoever wants more of one model reads its row."""

_memory: tuple[PriceSnapshot, Sequence[LanguageModel]] | None = None


def all_models() -> Sequence[LanguageModel]:
    """Every model, sold or not, by id. To be read only: others look at the same objects."""
    global _memory
    snapshot, remembered = price_book.current(), _memory
    if remembered is None or remembered[0] is not snapshot:
        remembered = _memory = (snapshot, tuple(LanguageModel.objects.only(*FACTS).order_by("slug")))
    return remembered[1]


def matching(*, search: str = "", provider: str = "") -> list[LanguageModel]:
    """Those of `provider` whose id, name or provider has each word of `search` (`search_words.finder`)."""
    finds = finder(search)
    return [
        model
        for model in all_models()
        if (not provider or model.provider_slug == provider) and finds((model.slug, model.name, model.provider))
    ]
