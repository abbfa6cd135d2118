"""Enter the seller's details: a new version for invoices that are finalized from its moment on. Older versions stay as they are."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.registration_numbers import validate_registration_number
from billing import sellers
from billing.models import InvoiceSeries, Seller
from billing.papers.document_parts import bank_account, supplier
from console.deeds import Deed, DeedForm, MomentInput, Refused, Row, add_deed
from console.figures import figure
from console.read_only import list_of

LANGUAGES = (("ko", _("Korean")), ("en", _("English")))


class SellerForm(forms.ModelForm, DeedForm):
    """The model's own fields, its limits and its labels."""

    series = forms.SlugField(
        label=_("Prefix of the invoice numbers"),
        max_length=20,
        initial=sellers.DEFAULT_PREFIX,
        help_text=_("Numbers read PREFIX-000001. It is chosen once and cannot be changed afterwards."),
    )
    since = forms.DateTimeField(
        label=_("In force from"), required=False, widget=MomentInput, help_text=_("Empty: at once.")
    )

    class Meta:
        model = Seller
        fields = sellers.DETAILS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["registration_number"].validators.append(validate_registration_number)
        self.fields["payment_days"].min_value = 0
        self.fields["payment_days"].widget.attrs |= {"max": 365}
        if InvoiceSeries.objects.exists():
            del self.fields["series"]

    def clean_payment_days(self) -> int:
        days: int = self.cleaned_data["payment_days"]
        if days > 365:
            raise forms.ValidationError(gettext("A year at most."))
        return days


class EnterSeller(Deed):
    form_class = SellerForm
    title = _("Enter seller details")
    lead = _(
        "A new version, with which invoices are made that are finalized from then on, their mails and receipts included. "
        "Invoices that are final keep what they say."
    )
    button = _("Put the details in force")

    def initial(self) -> dict[str, Any]:
        latest = Seller.objects.order_by("-since", "-pk").first()
        return {name: getattr(latest, name) for name in sellers.DETAILS} if latest else {}

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        since = self._since(values, now)
        seller = Seller(since=since, **details_of(values))
        before = sellers.version_at(since)
        rows: list[Row] = [(_("In force from"), figure("table_time")(since))]
        for name in sellers.DETAILS:
            old = getattr(before, name) if before else ""
            if old != getattr(seller, name):
                label = Seller._meta.get_field(name).verbose_name
                rows.append((label, f"{old or '–'} → {getattr(seller, name) or '–'}"))
        if len(rows) == 1:
            rows.append((_("What changes"), _("Nothing: the very same details are in force then already.")))
        rows += [(block_title(language), block(seller, language)) for language, _name in LANGUAGES]
        rows.append(
            (_("Invoices"), _("Those finalized from then on. Final ones keep their seller, also when sent again."))
        )
        rows.append((_("The site’s footer and legal texts"), _("Say the same from then on, within a minute.")))
        later = Seller.objects.filter(since__gt=since).order_by("since").first()
        if later is not None:
            rows.append(
                (_("Mind"), _("A later version follows on %(day)s.") % {"day": figure("table_time")(later.since)})
            )
        return rows

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        since = self._since(values, now)
        before = sellers.version_at(since)
        seller = sellers.set_seller(
            now=now,
            since=since,
            series_prefix=values.get("series") or sellers.DEFAULT_PREFIX,
            actor=self.request.user,
            **details_of(values),
        )
        if seller == before:
            return gettext("The very same details are in force then already; nothing was changed.")
        return gettext("Seller details of %(name)s, in force from %(since)s") % {
            "name": seller.legal_name,
            "since": figure("table_time")(seller.since),
        }

    def _since(self, values: dict[str, Any], now: datetime) -> datetime:
        wanted: datetime | None = values["since"]
        if wanted is None:
            return now
        if wanted < now - timedelta(minutes=1):  # the picker has no seconds
            raise Refused(gettext("Details cannot be dated back: invoices made since then have others."))
        return max(wanted, now)

    def back(self) -> str:
        return list_of(Seller)


def details_of(values: dict[str, Any]) -> dict[str, Any]:
    details = {name: values[name] for name in sellers.DETAILS}
    return details | {"registration_number": sellers.normalize_registration_number(details["registration_number"])}


def block_title(language: str) -> str:
    return gettext("Supplier, on an invoice in %(language)s") % {"language": dict(LANGUAGES)[language]}


def block(seller: Seller, language: str) -> str:
    """The supplier's block of an invoice, and the account it asks to pay to, as they will read."""
    details = sellers.snapshot(seller)
    account = bank_account(details, language)
    rows = [*supplier(details, language)["rows"], [account["title"], " · ".join(account["rows"])]]
    pairs = format_html_join("", '<span class="pair"><span>{}</span><span>{}</span></span>', rows)
    return format_html('<span lang="{}">{}</span>', language, pairs)


add_deed("seller/", EnterSeller, name="enter_seller")
