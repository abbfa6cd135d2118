"""Prices that wait for a decision, and how the lists they come from were imported last."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from catalog.feed.quarantine import NOT_APPROVABLE
from catalog.models import PriceFeed, QuarantinedPrice
from catalog.price_sheets import parse_price_map, sheet_from_json
from console.figures import figure
from console.sentences import in_sentences
from console.site import site
from metering.token_labels import TOKEN_CLASSES
from pricing.bands import PriceSheet
from pricing.cost_changes import CostChange, cost_changes
from pricing.tokens import PIECE_CLASSES

MOST_SHOWN = 200
MOST_DECIDED = 50
Doubt, Status, Outcome = QuarantinedPrice.Doubt, QuarantinedPrice.Status, PriceFeed.Outcome
TONES = {
    Outcome.IMPORTED: "success",
    Outcome.UNCHANGED: "success",
    Outcome.REFUSED: "danger",
    Outcome.UNREACHABLE: "warning",
}
COUNTS = {
    "new": _("new models"),
    "changed": _("changed prices"),
    "unchanged": _("unchanged prices"),
    "quarantined": _("put in quarantine"),
    "quarantined_before": _("in quarantine or refused before"),
    "withdrawn": _("doubts withdrawn by the list"),
    "missing": _("models missing from the list"),
    "described": _("descriptions renewed"),
    "left_out": _("left out"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One token class of a price: what it costs and would cost, and the change, empty where nothing can be compared."""

    label: Any
    prices: str
    percent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A quarantined price as it is shown."""

    entry: QuarantinedPrice
    lines: list[Line]
    told: list[tuple[str, str]]
    """What the list says, by its own names, where that is no price."""
    effect: Any
    can_be_approved: bool


@require_safe
def quarantine(request: HttpRequest) -> HttpResponse:
    """What waits, or with `?state=decided` what was decided last."""
    is_decided = request.GET.get("state") == "decided"
    entries = QuarantinedPrice.objects.select_related("cost_table", "language_model", "decided_by")
    if is_decided:
        rows = entries.exclude(status=Status.OPEN).order_by("-noticed_at", "-pk")[:MOST_DECIDED]
    else:
        rows = entries.filter(status=Status.OPEN).order_by("doubt", "slug")[:MOST_SHOWN]
    context = {
        "rows": [shown(entry) for entry in rows],
        "is_decided": is_decided,
        "count": entries.filter(status=Status.OPEN).count(),
        "feeds": [
            feed_facts(feed)
            for feed in PriceFeed.objects.exclude(outcome="").select_related("cost_table").order_by("pk")
        ],
        "has_feed": bool(settings.PRICE_FEED_URL),
        "deeds": [
            {"label": _("Fetch the list now"), "url": reverse("admin:fetch_prices")},
            {"label": _("Import a file"), "url": reverse("admin:upload_prices")},
        ],
    }
    return site.render(request, "console/quarantine.html", title=_("Prices in quarantine"), **context)


def shown(entry: QuarantinedPrice) -> Waiting:
    return Waiting(
        entry=entry,
        lines=[] if entry.doubt in NOT_APPROVABLE else [line_of(change) for change in changes_of(entry)],
        told=list(told_by_list(entry.raw)),
        effect=effect_of(entry),
        can_be_approved=entry.doubt not in NOT_APPROVABLE,
    )


def told_by_list(raw: Any, under: str = "") -> Iterator[tuple[str, str]]:
    """What the list says as names and values; what lies within another value is named with it."""
    if isinstance(raw, dict):
        for name, value in raw.items():
            yield from told_by_list(value, f"{under}.{name}" if under else str(name))
    elif isinstance(raw, list):
        for number, value in enumerate(raw, start=1):
            yield from told_by_list(value, f"{under} {number}".strip())
    elif raw is not None:
        yield under, str(raw)


def changes_of(entry: QuarantinedPrice) -> list[CostChange]:
    """The token classes that would change; of a first price all, of one that ends what it was."""
    if entry.before and entry.sheet:
        return cost_changes(sheet_from_json(entry.before), sheet_from_json(entry.sheet))
    if entry.sheet:
        return [CostChange(kind, None, cost) for kind, cost in parse_price_map(entry.sheet["base"]).items()]
    if entry.before:
        return [CostChange(kind, cost, None) for kind, cost in parse_price_map(entry.before["base"]).items()]
    return []


def told(changes: Sequence[CostChange]) -> str:
    """Changes in one line."""
    return " · ".join(
        f"{line.label} {line.prices}{f' ({line.percent})' if line.percent else ''}" for line in map(line_of, changes)
    )


def told_prices(sheet: PriceSheet | None) -> str:
    """A first price in one line."""
    return " · ".join(
        f"{TOKEN_CLASSES[kind]} {_cost(cost, is_piece=kind in PIECE_CLASSES)}{'' if kind in PIECE_CLASSES else ' / 1M'}"
        for kind, cost in (sheet.base if sheet else {}).items()
    )


def line_of(change: CostChange) -> Line:
    is_piece = change.token_class in PIECE_CLASSES
    share = change.share
    before, after = _cost(change.before, is_piece=is_piece), _cost(change.after, is_piece=is_piece)
    return Line(
        label=TOKEN_CLASSES[change.token_class],
        prices=f"{before} → {after}{'' if is_piece else ' / 1M'}",
        percent="" if share is None else f"{float(share) * 100:+,.1f}%",
    )


def _cost(cost: Any, *, is_piece: bool) -> str:
    if cost is None:
        return "–"
    return f"${cost.normalize():f}" if is_piece else figure("cost_per_million")(cost, "USD")


def effect_of(entry: QuarantinedPrice) -> Promise | str:
    """What approving it would do."""
    if entry.doubt in NOT_APPROVABLE:
        return _("It cannot be charged. Refuse it, and the list is imported without it.")
    if entry.sheet is None and entry.before is not None:
        return _("Approved: the model is no longer sold. Its page and history stay.")
    if entry.sheet is None:
        return _("Approved: the model is sold as a router, at the price of the model that answers.")
    if entry.before is None and entry.language_model is None:
        return _("Approved: the model is listed and sold at this price.")
    return _("Approved: the new price holds within seconds. Until then the old one does.")


def feed_facts(feed: PriceFeed) -> dict[str, Any]:
    counts = [(label, feed.counts[name]) for name, label in COUNTS.items() if feed.counts.get(name)]
    return {
        "feed": feed,
        "reason": in_sentences(feed.reason),
        "tone": TONES.get(feed.outcome, "plain"),
        "counts": counts,
    }


def feed_summary(now: datetime) -> tuple[str, str, str]:
    """For the home: when the feed was imported last, how it went, and the tone of that."""
    feed = PriceFeed.objects.filter(cost_table__slug=settings.PRICE_FEED_TABLE).first()
    if not settings.PRICE_FEED_URL:
        return "–", gettext("no address is set"), ""
    if feed is None or feed.tried_at is None:
        return "–", gettext("not imported yet"), "warning"
    value = figure("table_time")(feed.imported_at) if feed.imported_at else "–"
    if feed.outcome in (Outcome.REFUSED, Outcome.UNREACHABLE):
        note = gettext("%(outcome)s at %(time)s") % {
            "outcome": feed.get_outcome_display(),
            "time": figure("table_time")(feed.tried_at),
        }
        return value, note, "danger"
    is_old = now - feed.tried_at > timedelta(seconds=3 * settings.PRICE_FEED_SECONDS)
    return value, str(feed.get_outcome_display()), "warning" if is_old else "good"


def waiting_count() -> int:
    return QuarantinedPrice.objects.filter(status=Status.OPEN).count()


site.pages += [path("prices/quarantine/", site.admin_view(quarantine), name="quarantine")]
