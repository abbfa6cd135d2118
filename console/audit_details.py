"""What an entry of the audit log says of its deed, in rows that an operator reads.

Nothing is left out: what has no words of its own is shown as it is stored.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.contrib.admin import display
from django.utils.functional import Promise
from django.utils.html import format_html, format_html_join
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from accounts.models import AuditEntry, BillingProfile, Organization
from billing.models import WebhookEndpoint
from console.figures import figure
from console.own_words import in_words
from console.words import FIELDS

LABELS: Mapping[str, Promise] = {
    "account": _("Account"),
    "after": _("After"),
    "allowed": _("Allowed"),
    "amount": _("Amount"),
    "api_key": _("API key"),
    "approval_number": _("Approval number"),
    "audit": _("Audit"),
    "backdated": _("Backdated"),
    "because": _("Why it fits"),
    "before": _("Before"),
    "below_cost": _("Below cost on purpose"),
    "calls": _("Calls"),
    "cause": _("Cause"),
    "change": _("Change"),
    "changed": _("Changed"),
    "charge_days": _("Days of another charge"),
    "completed": _("Completed"),
    "copy": _("Copy"),
    "count": _("Count"),
    "days_before_due": _("Days before the due date"),
    "deposit": _("Deposit"),
    "deposits": _("Deposits"),
    "discount": _("Discount"),
    "doubt": _("Doubt"),
    "draft": _("Draft"),
    "edition": _("Edition"),
    "events": _("Events"),
    "evidence": _("Evidence"),
    "excess": _("Left over"),
    "fields": _("Fields"),
    "first": _("First"),
    "follows_default": _("Follows the standard"),
    "from": _("Until now"),
    "hard": _("Hard limit"),
    "hold": _("Held amount"),
    "invoice": _("Invoice"),
    "invoices": _("Invoices"),
    "keys": _("Keys"),
    "last": _("Last"),
    "left_out": _("Left out"),
    "left_usd": _("Left, USD"),
    "mail": _("Mail"),
    "markup": _("Markup"),
    "minimum_fee": _("Minimum fee"),
    "models": _("Models"),
    "monthly_cap": _("At most a month"),
    "name": _("Name"),
    "new": _("New"),
    "occasion": _("Occasion"),
    "on": _("On"),
    "overdue_days": _("Days of a reminder"),
    "overlap_hours": _("Overlap in hours"),
    "payment": _("Payment"),
    "payment_method": _("Payment method"),
    "previous": _("Previous"),
    "prices": _("Prices"),
    "published": _("Published"),
    "rate": _("Rate"),
    "recovered": _("Recovered after a write-off"),
    "refund": _("Refund"),
    "requests": _("Requests"),
    "reviewed": _("Reviewed before issue"),
    "role": _("Role"),
    "rollups": _("Rollups"),
    "seconds": _("Seconds"),
    "service_key": _("Service key"),
    "spent": _("Spent"),
    "suspend_after": _("Suspended after days"),
    "taken_back": _("Taken back"),
    "threshold": _("Threshold"),
    "threshold_usd": _("Threshold, USD"),
    "to": _("From now on"),
    "to_credit": _("Becomes credit"),
    "to_refund": _("Is sent back"),
    "tokens": _("Tokens"),
    "total": _("Total"),
    "url": _("Address"),
    "version": _("Version"),
    "why": _("Why"),
    "window": _("Window"),
    "zero_invoices": _("Zero invoices"),
}
"""By the key under which the deed keeps it; keys that are names of fields go by FIELDS or by their model."""
AMOUNTS = frozenset({
    "after", "allowed", "amount", "before", "change", "excess", "left_usd", "minimum_fee", "monthly_cap", "recovered", "spent",
    "threshold", "threshold_usd", "to_credit", "to_refund", "total",
})  # fmt: skip
A_NUMBER, A_MOMENT = re.compile(r"-?\d+(\.\d+)?"), re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.*")


@display(description=_("Values"))
def audit_details(entry: AuditEntry) -> object:
    """A row for each value."""
    detail = safe_detail(entry)
    rows = [(_label(key, detail), _shown(key, value)) for key, value in detail.items()]
    if not rows:
        return "–"
    return format_html('<dl class="facts">{}</dl>', format_html_join("", "<div><dt>{}</dt><dd>{}</dd></div>", rows))


def safe_detail(entry: AuditEntry) -> dict[str, Any]:
    """What the entry says, in order, without what may be a secret: older entries hold a webhook's whole path."""
    detail: dict[str, Any] = dict(sorted(entry.detail.items()))
    if entry.action.startswith("webhook.") and isinstance(detail.get("url"), str):
        detail["url"] = WebhookEndpoint(url=detail["url"]).host_url
    return detail


def _label(key: str, beside: Mapping[str, Any]) -> object:
    is_a_moment = key == "from" and "to" not in beside
    named = FIELDS["since"] if is_a_moment else LABELS.get(key) or FIELDS.get(key)
    if named:
        return capfirst(named)
    for model in (BillingProfile, Organization):
        if any(field.name == key for field in model._meta.fields):
            return capfirst(model._meta.get_field(key).verbose_name)
    return key


def _shown(key: str, value: Any) -> object:
    if isinstance(value, bool):
        return _("Yes") if value else _("No")
    if isinstance(value, dict):
        if value.keys() == {"before", "after"}:
            return format_html("{} → {}", _shown(key, value["before"]), _shown(key, value["after"]))
        return format_html_join(
            "; ", "{}: {}", [(_label(name, value), _shown(name, inner)) for name, inner in value.items()]
        )
    if isinstance(value, list):
        return format_html_join(", ", "{}", [(_shown(key, item),) for item in value]) or "–"
    text = "" if value is None else str(value)
    if key in AMOUNTS and A_NUMBER.fullmatch(text):
        whole, point, fraction = text.partition(".")
        return f"{int(whole):,}{point}{fraction}" if whole not in ("-0",) else text
    if A_MOMENT.fullmatch(text):
        return figure("table_time")(datetime.fromisoformat(text))
    return in_words(key, text) or "–"
