"""The price list: what is sold now, searched and sorted, each model with its list price per 1M tokens.

Answered from the price book's memory and one look at the facts; a model without a price of its own (a router) has none here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from catalog import price_book
from catalog.models import LanguageModel
from catalog.search_words import finder
from pricing.exact import exact_sum
from pricing.tokens import TokenClass


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPrice:
    """What a visitor would pay: the base band, for the token classes that the price names. `conditional`: there are others."""

    rate: price_book.Rate
    classes: tuple[TokenClass, ...]
    conditional: bool

    @property
    def price_of_one_each(self) -> Decimal:
        """One token in, one out: what lists are sorted by."""
        return exact_sum((self.rate.unit_prices[TokenClass.INPUT], self.rate.unit_prices[TokenClass.OUTPUT]))


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedModel:
    """A model and its list price; None where it has none of its own (a router), or is not sold."""

    model: LanguageModel
    price: ListPrice | None
    is_sold: bool


def listed_model(model: LanguageModel, *, at: datetime) -> ListedModel:
    """The model as the list has it at `at`."""
    price = list_price(model, at=at)
    return ListedModel(model=model, price=price, is_sold=price is not None or _is_sold_router(model, at))


def _is_sold_router(model: LanguageModel, at: datetime) -> bool:
    if not model.is_router:
        return False
    try:
        return price_book.is_sold(price_book.find_model(model.slug), at=at)
    except price_book.UnknownModel:
        return False


def list_price(model: LanguageModel, *, at: datetime) -> ListPrice | None:
    """The list price of `model` at `at`."""
    try:
        entry = price_book.find_model(model.slug)
        rate = price_book.quote(terms=price_book.PUBLIC_TERMS, model=entry, prompt_tokens=0, at=at)
    except price_book.NoRate:
        return None
    dated = price_book.current().price(entry, at)
    sheet = dated.value if dated else None
    if sheet is None:
        return None
    return ListPrice(
        rate=rate, classes=tuple(c for c in TokenClass if c in sheet.base), conditional=bool(sheet.overrides)
    )


SortKey = Callable[[ListedModel], tuple[object, ...]]


def _unknown_last(value: object) -> tuple[bool, object]:
    return (value is None, value if value is not None else 0)


def _price(listed: ListedModel, token_class: TokenClass) -> Decimal | None:
    return listed.price.rate.unit_prices[token_class] if listed.price else None


SORTS: Mapping[str, SortKey] = {
    "name": lambda listed: (listed.model.name.lower(),),
    "price": lambda listed: _unknown_last(listed.price and listed.price.price_of_one_each),
    "input_price": lambda listed: _unknown_last(_price(listed, TokenClass.INPUT)),
    "output_price": lambda listed: _unknown_last(_price(listed, TokenClass.OUTPUT)),
    "-context_length": lambda listed: (-(listed.model.context_length or 0),),
    "-released_on": lambda listed: (-(listed.model.released_on.toordinal() if listed.model.released_on else 0),),
}
"""What a list may be sorted by. Unknown comes last; ties are in the order of the id."""


def models_sold(*, at: datetime, search: str = "", provider: str = "", sort: str = "name") -> list[ListedModel]:
    """What is sold at `at` and has each word of `search`, or what it is a Korean word for, in id, name or provider; by `sort`."""
    models = LanguageModel.objects.order_by("slug")
    if provider:
        models = models.filter(provider_slug=provider)
    finds = finder(search)
    listed = (listed_model(model, at=at) for model in models if finds((model.slug, model.name, model.provider)))
    key: SortKey = SORTS[sort]
    return sorted((one for one in listed if one.is_sold), key=key)
