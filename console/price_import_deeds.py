"""Import a price list: have the feed fetched now, or put in force what a file says, after showing what it would change."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from catalog.feed import files, outcomes, running
from catalog.feed.importing import Imported, import_snapshot, preview_snapshot
from catalog.feed.snapshot import Snapshot, SnapshotRefused
from catalog.models import CostTable, QuarantinedPrice
from catalog.publishing import LEAD
from console.deeds import Deed, Refused, Row, add_deed
from console.figures import figure
from console.quarantine import COUNTS, told, told_prices
from console.sentences import in_sentences
from console.uploads import FileRefused, UploadDeed, UploadForm, file_field

LARGEST_FILE = 4 * 1024 * 1024
MOST_SHOWN = 40


class FetchPrices(Deed):
    title = _("Fetch the price list now")
    lead = _("The list that the settings name is fetched within a minute, as it is every hour.")
    button = _("Fetch it")

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        self._check()
        feed = outcomes.last_import(settings.PRICE_FEED_TABLE)
        last = figure("table_second")(feed.imported_at) if feed else "–"
        return [(_("cost table"), running.feed_table()), (_("Imported last"), last)]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        self._check()
        outcomes.make_due(running.feed_table(), now=now, actor=self.request.user)
        return gettext("The list is fetched within a minute.")

    def _check(self) -> None:
        if not settings.PRICE_FEED_URL:
            raise Refused(gettext("No address of a price list is set (PRICE_FEED_URL)."))

    def back(self) -> str:
        return reverse("admin:quarantine")


class FileForm(UploadForm):
    cost_table = forms.ModelChoiceField(
        label=_("cost table"), queryset=CostTable.objects.order_by("name"), empty_label=None
    )
    file = file_field(
        accept=".json,.csv",
        help_text=_(
            "OpenRouter's JSON, or CSV with the columns model, prompt, completion, input_cache_read …: USD each, "
            "or per million tokens where a column's name ends in _per_1m."
        ),
    )
    approve = forms.BooleanField(
        label=_("Put prices in force that would wait in quarantine"),
        required=False,
        help_text=_("Also models that the file lacks are no longer sold then."),
    )


class UploadPrices(UploadDeed):
    form_class = FileForm
    title = _("Import a price list from a file")
    lead = _("The whole file is checked before anything changes. What changes too much waits in quarantine.")
    button = _("Import it")

    def check_file(self, sent: UploadedFile) -> None:
        if sent.size > LARGEST_FILE:
            raise FileRefused(gettext("The file is larger than 4 MB: import it with the command import_prices."))

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        try:
            preview = preview_snapshot(cost_table=values["cost_table"], snapshot=self._snapshot(values), at=now + LEAD)
        except SnapshotRefused as refusal:
            raise Refused(in_sentences(str(refusal))) from None
        return [
            (_("cost table"), values["cost_table"]),
            (_("File"), values["name"]),
            *((label, preview.counts[name]) for name, label in COUNTS.items() if preview.counts[name]),
            *_changes(preview, approve=values["approve"]),
        ]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        try:
            imported = import_snapshot(
                cost_table=values["cost_table"],
                snapshot=self._snapshot(values),
                origin=f"file {values['name']}"[:100],
                clock=timezone.now,
                approve=values["approve"],
                actor=self.request.user,
            )
        except SnapshotRefused as refusal:
            raise Refused(in_sentences(str(refusal))) from None
        done = imported.counts["new"] + imported.counts["changed"] + imported.approved
        waiting = imported.counts["quarantined"] + imported.counts["quarantined_before"] - imported.approved
        said = ngettext("%(count)d price put in force", "%(count)d prices put in force", done) % {"count": done}
        if waiting > 0:
            said += ", " + ngettext("%(count)d waits", "%(count)d wait", waiting) % {"count": waiting}
        return said

    def _snapshot(self, values: dict[str, Any]) -> Snapshot:
        return files.read_price_file(values["content"], name=values["name"])

    def back(self) -> str:
        return reverse("admin:quarantine")


def _changes(preview: Imported, *, approve: bool) -> Iterator[Row]:
    """The first of what happens, model by model, what is in doubt on top."""
    found = preview.comparison
    waits = _("in force at once, though in doubt") if approve else _("waits in quarantine")
    rows: list[Row] = []
    for doubtful in found.doubtful:
        why = told(doubtful.changes) or (doubtful.entry.fault if doubtful.entry else "")
        why = why or ("" if doubtful.before else told_prices(doubtful.entry and doubtful.entry.sheet))
        words = (doubtful.slug, why, waits)
        label = QuarantinedPrice.Doubt(doubtful.doubt).label
        rows.append((label, " · ".join(str(word) for word in words if word)))
    rows += [(_("Changed"), f"{change.entry.slug} · {told(change.changes)}") for change in found.changed]
    rows += [(_("New"), f"{change.entry.slug} · {told_prices(change.entry.sheet)}") for change in found.first]
    yield from rows[:MOST_SHOWN]
    if len(rows) > MOST_SHOWN:
        yield _("and more"), figure("tokens")(len(rows) - MOST_SHOWN)


add_deed("prices/fetch/", FetchPrices, name="fetch_prices")
add_deed("prices/upload/", UploadPrices, name="upload_prices")
