"""The console's menu: by what an operator looks for, not by where a table is kept."""

from typing import Any

from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
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
                _list(_("Organizations"), "domain", Organization),
                _list(_("People"), "group", User),
                _list(_("API keys"), "key", ApiKey),
                _list(_("Credits"), "redeem", CreditGrant),
                _list(_("Commercial terms"), "handshake", BillingTerms),
                _page(_("Closures"), "door_open", "closures"),
            ],
        ),
        _group(
            _("Usage"),
            [
                _page(_("By customer"), "bar_chart", "usage_summary"),
                _page(_("Requests"), "receipt_long", "usage_events"),
                _page(_("Waiting for a price"), "hourglass_empty", "usage_unrated"),
                _page(_("Held amounts"), "lock_clock", "usage_holds"),
                _list(_("Sources"), "sensors", Source),
                _list(_("Service keys"), "vpn_key", ServiceKey),
            ],
        ),
        _group(
            _("Prices"),
            [
                _list(_("Models"), "deployed_code", LanguageModel),
                _list(_("Cost prices"), "sell", CostPrice),
                _page(_("Quarantine"), "gpp_maybe", "quarantine"),
                _list(_("Markups"), "percent", MarkupRule),
                _list(_("Exchange rates"), "currency_exchange", ExchangeRate),
                _list(_("Applied rates"), "calculate", AppliedRate),
                _list(_("Cost tables"), "table", CostTable),
                _page(_("Simulate a month"), "experiment", "simulation"),
            ],
        ),
        _group(
            _("Upstreams"),
            [
                _list(_("Upstreams"), "dns", Upstream),
                _list(_("Model routes"), "alt_route", ModelRoute),
                _list(_("Upstreams' bills"), "request_quote", UpstreamBill),
            ],
        ),
        _group(
            _("Billing"),
            [
                _page(_("Monthly run"), "event_repeat", "monthly_run"),
                _list(_("Invoices"), "description", Invoice),
                _list(_("Tax invoices"), "receipt", TaxInvoice),
                _list(_("Credit notes"), "assignment_return", CreditNote),
                _list(_("Invoice drafts"), "rate_review", InvoiceDraft),
                _list(_("Credit note proposals"), "undo", CreditNoteProposal),
                _list(_("Payments"), "payments", Payment),
                _list(_("Cards on file"), "credit_card", PaymentMethod),
                _list(_("Automatic top-ups"), "autorenew", AutomaticTopUp),
                _list(_("Refunds"), "currency_exchange", Refund),
                _list(_("Credit refunds"), "redeem", CreditPayout),
                _list(_("Outflows at the processor"), "trending_down", ProcessorOutflow),
                _list(_("Write-offs"), "money_off", WriteOff),
                _page(_("Deposits"), "account_balance", "deposits"),
                _page(_("Dunning"), "campaign", "dunning"),
                _list(_("Mails"), "mail", OutboxMail),
                _list(_("Quotations"), "request_quote", Quotation),
                _page(_("Mail samples"), "drafts", "mail_samples"),
                _list(_("Refused addresses"), "unsubscribe", BouncingAddress),
                _list(_("Processor events"), "webhook", ProcessorEvent),
                _list(_("Billing periods"), "date_range", BillingPeriod),
                _list(_("Seller"), "storefront", Seller),
            ],
        ),
        _group(
            _("System"),
            [
                _list(_("Alarms"), "notification_important", Alarm),
                _list(_("Audits"), "fact_check", AuditRun),
                _list(_("Audit log"), "history", AuditEntry),
            ],
        ),
    ]


def _group(title: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"title": title, "items": items, "separator": False}


def _page(title: str, icon: str, name: str) -> dict[str, Any]:
    address = reverse(f"admin:{name}")
    return {"title": title, "icon": icon, "link": address, "active": lambda request: request.path == address}


def _list(title: str, icon: str, model: type[Model]) -> dict[str, Any]:
    address = list_of(model)
    return {"title": title, "icon": icon, "link": address, "active": lambda request: request.path.startswith(address)}
