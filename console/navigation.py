"""The console's menu: by what an operator looks for, not by where a table is kept."""

from typing import Any

from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from accounts.models import Alarm, ApiKey, AuditEntry, Organization, ServiceKey, Source, User
from billing.models import (
    AuditRun,
    AutomaticTopUp,
    BillingTerms,
    BouncingAddress,
    CreditNote,
    CreditNoteProposal,
    CreditPayout,
    Invoice,
    InvoiceDraft,
    OutboxMail,
    Payment,
    PaymentMethod,
    ProcessorEvent,
    ProcessorOutflow,
    Quotation,
    Refund,
    Seller,
    TaxInvoice,
    WriteOff,
)
from catalog.models import (
    AppliedRate,
    CostPrice,
    CostTable,
    ExchangeRate,
    LanguageModel,
    MarkupRule,
    ModelRoute,
    Upstream,
    UpstreamBill,
)
from console.read_only import list_of
from ledger.models import BillingPeriod, CreditGrant


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    return [
        _group("", [_page(_("Home"), "home", "index")]),
        _group(
            _("Customers"),
            [
                _list("domain", Organization),
                _list("group", User),
                _list("key", ApiKey),
                _list("redeem", CreditGrant),
                _list("handshake", BillingTerms),
                _page(_("Closures"), "door_open", "closures"),
            ],
        ),
        _group(
            _("Usage"),
            [
                _page(_("Usage by customer"), "bar_chart", "usage_summary"),
                _page(_("Requests"), "receipt_long", "usage_events"),
                _page(_("Waiting for a price"), "hourglass_empty", "usage_unrated"),
                _page(_("Held amounts"), "lock_clock", "usage_holds"),
                _list("sensors", Source),
                _list("vpn_key", ServiceKey),
            ],
        ),
        _group(
            _("Prices"),
            [
                _list("deployed_code", LanguageModel),
                _list("sell", CostPrice),
                _page(_("Prices in quarantine"), "gpp_maybe", "quarantine"),
                _list("percent", MarkupRule),
                _list("currency_exchange", ExchangeRate),
                _list("calculate", AppliedRate),
                _list("table", CostTable),
                _page(_("Simulate a month"), "experiment", "simulation"),
            ],
        ),
        _group(
            _("Upstreams"),
            [
                _list("dns", Upstream),
                _list("alt_route", ModelRoute),
                _list("request_quote", UpstreamBill),
            ],
        ),
        _group(
            _("Billing"),
            [
                _page(_("Monthly run"), "event_repeat", "monthly_run"),
                _list("description", Invoice),
                _list("receipt", TaxInvoice),
                _list("assignment_return", CreditNote),
                _list("rate_review", InvoiceDraft),
                _list("undo", CreditNoteProposal),
                _list("payments", Payment),
                _list("credit_card", PaymentMethod),
                _list("autorenew", AutomaticTopUp),
                _list("currency_exchange", Refund),
                _list("redeem", CreditPayout),
                _list("trending_down", ProcessorOutflow),
                _list("money_off", WriteOff),
                _page(_("Deposits"), "account_balance", "deposits"),
                _page(_("Dunning"), "campaign", "dunning"),
                _list("mail", OutboxMail),
                _list("request_quote", Quotation),
                _page(_("Mail samples"), "drafts", "mail_samples"),
                _list("unsubscribe", BouncingAddress),
                _list("webhook", ProcessorEvent),
                _list("date_range", BillingPeriod),
                _list("storefront", Seller),
            ],
        ),
        _group(
            _("System"),
            [
                _list("notification_important", Alarm),
                _list("fact_check", AuditRun),
                _list("history", AuditEntry),
            ],
        ),
    ]


def _group(title: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"title": title, "items": items, "separator": False}


def _page(title: str, icon: str, name: str) -> dict[str, Any]:
    address = reverse(f"admin:{name}")
    return {"title": title, "icon": icon, "link": address, "active": lambda request: request.path == address}


def _list(icon: str, model: type[Model]) -> dict[str, Any]:
    """Called as the list's own title calls it."""
    address, title = list_of(model), capfirst(model._meta.verbose_name_plural)
    return {"title": title, "icon": icon, "link": address, "active": lambda request: request.path.startswith(address)}
