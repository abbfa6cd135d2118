"""Three months of usage, recorded as it would have been: day by day, by `metering.recording`, each call under a key of its own.

The calls of a day are the same whenever they are drawn, so a day that is recorded again counts once, and a seeding that was
interrupted just runs again.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta

from accounts.models import Organization, Source
from catalog import price_book
from catalog.models import LanguageModel
from demo.cast import ZONE
from demo.opening import key_ids
from demo.progress import Progress
from demo.traffic import Call, Workload, calls_of_day
from demo.workloads import WORKLOADS
from metering.recording import record
from metering.reports import Status, UsageReport

MONTHS = 3
"""The running month so far and the two before it."""


class NotRecorded(RuntimeError):
    """A demo call was rejected, or waits for a price: the demo's data do not fit together."""


def first_day(anchor: datetime) -> date:
    """The first day of the three months that end with `anchor`."""
    month = anchor.astimezone(ZONE).date().replace(day=1)
    for _month in range(MONTHS - 1):
        month = (month - timedelta(days=1)).replace(day=1)
    return month


def record_history(*, anchor: datetime, scale: float, progress: Progress) -> int:
    """Record everything up to `anchor`; returns how many calls that are. `scale` multiplies their number."""
    price_book.forget()
    scene = _Scene(anchor=anchor, scale=scale)
    days = (anchor.astimezone(ZONE).date() - scene.start).days + 1
    total = 0
    for number in range(days):
        day = scene.start + timedelta(days=number)
        reports = sorted(scene.reports(day, elapsed=number / max(days - 1, 1)), key=lambda report: report.occurred_at)
        if reports:
            _record(reports)
        total += len(reports)
        progress.advance(number + 1, of=days, note=f"{total:,} calls")
    return total


def _record(reports: Sequence[UsageReport]) -> None:
    """A day in one transaction, received when its last call was over."""
    outcomes = record(reports, now=reports[-1].occurred_at + timedelta(seconds=1))
    for report, outcome in zip(reports, outcomes, strict=True):
        if outcome.status not in (Status.ACCEPTED, Status.DUPLICATE) or outcome.reason:
            raise NotRecorded(f"{report.key} ({report.model}): {outcome.status} {outcome.reason}")


class _Scene:
    """What the calls of every day have in common."""

    def __init__(self, *, anchor: datetime, scale: float) -> None:
        self.anchor, self.scale, self.start = anchor, scale, first_day(anchor)
        rows = Organization.objects.using("system").filter(slug__in=WORKLOADS)
        self.organizations = dict(rows.values_list("slug", "pk"))
        self.source_id = Source.objects.using("system").get(slug=Source.GATEWAY).pk
        self.keys = key_ids()
        models = LanguageModel.objects.using("system").values_list("slug", "cost_table__slug")
        self.upstreams = dict(models)

    def reports(self, day: date, *, elapsed: float) -> Iterator[UsageReport]:
        """All calls of a local day."""
        sold = _sold_on(day)
        for slug, workloads in WORKLOADS.items():
            for workload in workloads:
                calls = calls_of_day(
                    workload, day=day, zone=ZONE, elapsed=elapsed, scale=self.scale, sold=sold, seed=slug
                )
                for number, call in enumerate(calls):
                    if call.at <= self.anchor:
                        yield self._report(slug, workload, call, number)

    def _report(self, slug: str, workload: Workload, call: Call, number: int) -> UsageReport:
        return UsageReport(
            organization_id=self.organizations[slug],
            source_id=self.source_id,
            key=f"demo-{slug}-{workload.key}-{call.at.astimezone(ZONE):%Y%m%d}-{number}",
            model=call.model,
            requested_model=call.asked_for,
            occurred_at=call.at,
            usage=call.usage,
            api_key_id=self.keys[slug, workload.key],
            upstream=self.upstreams[call.model],
            status=200,
            streamed=call.streamed,
            latency_ms=call.latency_ms,
            first_token_ms=call.first_token_ms,
            finish_reason=call.finish_reason,
        )


def _sold_on(day: date) -> dict[str, int | None]:
    """Context lengths of the models that have a price all through a local day; others would wait, unrated."""
    snapshot = price_book.current()
    morning = datetime.combine(day, time(), tzinfo=ZONE)
    return {
        slug: model.context_length
        for slug, model in snapshot.models.items()
        if all(
            (price := snapshot.price(model, at)) is not None and price.value is not None
            for at in (morning, morning + timedelta(days=1))
        )
    }
