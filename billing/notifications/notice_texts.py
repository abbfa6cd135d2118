"""What the mail of a notice says, in the language that is active: a few figures, and where to look or change something."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.translation import get_language
from django.utils.translation import gettext as _

from billing.models import Notice
from billing.papers import document_texts as texts
from billing.site_addresses import (
    closure_page,
    credit_page,
    invoices_page,
    keys_page,
    limits_page,
    webhooks_page,
)
from ledger.models import LimitWindow
from pricing.totals import round_to_minor

Facts = list[tuple[str, str]]
TOLD_TO_PROGRAMS = frozenset({
    Notice.Kind.WEBHOOK_TEST,
    Notice.Kind.CREDIT_NOTE_ISSUED,
    Notice.Kind.REFUND_SUCCEEDED,
})  # fmt: skip
"""Of these people hear nothing, or by a mail of its own kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeWords:
    """As a mail's wording; `main` is the figure that counts."""

    subject: str
    lead: str
    main: tuple[str, str] | None = None
    facts: Facts
    url: str
    action: str
    after: list[str] = field(default_factory=list)


def words_of(notice: Notice) -> NoticeWords:
    """Needs the organization at hand; not for what is TOLD_TO_PROGRAMS."""
    return _WORDS[Notice.Kind(notice.kind)](notice, notice.data)


def _threshold(notice: Notice, data: Mapping[str, Any]) -> NoticeWords:
    names = {"whose": _whose(data), "percent": data["percent"]}
    return NoticeWords(
        subject=_("%(percent)s%% of the spend limit is used: %(whose)s") % names,
        lead=_refusing(data) if data["percent"] == 100 else _("Of a spend limit, %(percent)s%% is used.") % names,
        main=(_("Spent"), _money(data, "spent")),
        facts=_limit_facts(notice, data, main="spent"),
        url=limits_page(organization_slug=notice.organization.slug),
        action=_("View the spend limits"),
        after=[_("Amounts include VAT.")],
    )


def _refusing(data: Mapping[str, Any]) -> str:
    if data["hard"]:
        return _("A spend limit is used up. Calls are refused until it counts anew or is raised.")
    return _("A soft spend limit is used up. It refuses nothing.")


def _limit_refuses(notice: Notice, data: Mapping[str, Any]) -> NoticeWords:
    return NoticeWords(
        subject=_("A spend limit refuses calls: %(whose)s") % {"whose": _whose(data)},
        lead=_(
            "A call was refused because the most it could have cost does not fit what the spend limit leaves. Smaller calls may"
            " still go through."
        ),
        main=(_("Left"), _money(data, "left")),
        facts=_limit_facts(notice, data, main="left"),
        url=limits_page(organization_slug=notice.organization.slug),
        action=_("View the spend limits"),
        after=[_("Amounts include VAT. What running calls may cost at most is held and counts until they end.")],
    )


def _credit_low(notice: Notice, data: Mapping[str, Any]) -> NoticeWords:
    return NoticeWords(
        subject=_("Your credit is low"),
        lead=_(
            "What you may still spend has fallen below the amount at which you want to hear of it. At zero, calls are refused."
        ),
        main=(_("Left"), _money(data, "left")),
        facts=[(_("Told below"), _money(data, "threshold"))],
        url=credit_page(organization_slug=notice.organization.slug),
        action=_("Top up credit"),
        after=[_("Amounts include VAT.")],
    )


def _key_created(notice: Notice, data: Mapping[str, Any]) -> NoticeWords:
    return NoticeWords(
        subject=_("An API key was made: %(name)s") % {"name": _key(data)},
        lead=_("A new API key can call in the name of your organization, and spend its money."),
        facts=[
            (_("API key"), _key(data)),
            (_("Made by"), _line(data["created_by"]) or "–"),
            (_("Key made at"), _moment(notice, data["created_at"])),
        ],
        url=keys_page(organization_slug=notice.organization.slug),
        action=_("View the API keys"),
        after=[_("If nobody of you made it, revoke it, and change the passwords of those who may make keys.")],
    )


def _key_stopped(notice: Notice, data: Mapping[str, Any]) -> NoticeWords:
    minutes = data["seconds"] // 60
    return NoticeWords(
        subject=_("An API key was stopped: %(name)s") % {"name": _key(data)},
        lead=_("An API key spent so much in so short a time that its calls are refused until somebody looks at it."),
        main=(_("Spent within %(minutes)s minutes") % {"minutes": minutes}, _money(data, "spent")),
        facts=[
            (_("API key"), _key(data)),
            (_("Stopped above"), _money(data, "allowed")),
            (_("Stopped at"), _moment(notice, data["stopped_at"])),
        ],
        url=limits_page(organization_slug=notice.organization.slug),
        action=_("Look at it and lift the stop"),
        after=[
            _("If you do not know why it spends, rotate or revoke the key first: its secret may be in wrong hands."),
            _("Other keys are not concerned. Owners and admins can lift the stop and say when keys are stopped."),
        ],
    )


def _suspended(notice: Notice, data: Mapping[str, Any]) -> NoticeWords:
    invoice = data["invoice"]
    if invoice is None:
        return NoticeWords(
            subject=_("Your API keys are suspended"),
            lead=_("We have suspended your organization, so calls with its API keys are refused. Please contact us."),
            facts=[(_("Suspended at"), _moment(notice, data["suspended_at"]))],
            url=invoices_page(organization_slug=notice.organization.slug),
            action=_("Open your organization"),
        )
    return NoticeWords(
        subject=_("Your API keys are suspended (%(number)s)") % {"number": invoice["number"]},
        lead=_("An invoice has not been paid for a long time, so calls with your API keys are refused now."),
        main=(_("Still to be paid"), texts.money(Decimal(invoice["outstanding"]), invoice["currency"])),
        facts=[
            (_("Invoice number"), invoice["number"]),
            (_("Due date"), texts.prose_day(date.fromisoformat(invoice["due_on"]), get_language() or texts.KOREAN)),
            (_("Suspended at"), _moment(notice, data["suspended_at"])),
        ],
        url=invoice["url"],
        action=_("View and pay the invoice"),
        after=[
            _("As soon as nothing is overdue any more, your keys work again by themselves."),
            _("Members can still sign in, see usage and pay. Usage that you report is still recorded."),
        ],
    )


def _restored(notice: Notice, data: Mapping[str, Any]) -> NoticeWords:
    return NoticeWords(
        subject=_("Your API keys work again"),
        lead=_("The suspension of your organization has ended. Calls with your API keys are answered as before."),
        facts=[
            (_("Suspended at"), _moment(notice, data["suspended_at"])),
            (_("Restored at"), _moment(notice, data["restored_at"])),
        ],
        url=invoices_page(organization_slug=notice.organization.slug),
        action=_("View the invoices"),
    )


def _closure_asked(notice: Notice, data: Mapping[str, Any]) -> NoticeWords:
    return _closure(
        notice,
        data,
        subject=_("Your organization will be closed"),
        lead=_("The closure of your organization was asked for. Until its closing moment everything works as before."),
        after=[
            _("From that moment on, API keys are refused. The last month is invoiced soon after."),
            _("An owner can take this back until then."),
        ],
    )


def _closure_withdrawn(notice: Notice, data: Mapping[str, Any]) -> NoticeWords:
    return NoticeWords(
        subject=_("Your organization is not closed after all"),
        lead=_("The closure of your organization was taken back. Everything goes on as before."),
        facts=[(_("It would have closed at"), _moment(notice, data["closes_at"]))],
        url=closure_page(organization_slug=notice.organization.slug),
        action=_("View the closure"),
    )


def _closing(notice: Notice, data: Mapping[str, Any]) -> NoticeWords:
    return _closure(
        notice,
        data,
        subject=_("Usage of your organization has ended"),
        lead=_(
            "As asked, your API keys are revoked and open invitations are canceled. Calls that were running still end."
        ),
        after=[
            _("The final invoice comes by a mail of its own. Invoices can be read and paid as before."),
            _("As soon as nothing is owed any more and unused paid credit is refunded, the organization is closed."),
        ],
    )


def _closed(notice: Notice, data: Mapping[str, Any]) -> NoticeWords:
    return NoticeWords(
        subject=_("Your organization is closed"),
        lead=_("Everything is settled. Nothing more will be charged."),
        facts=[
            (_("Usage ended at"), _moment(notice, data["closes_at"])),
            (_("Readable until"), _moment(notice, data["readable_until"])),
        ],
        url=closure_page(organization_slug=notice.organization.slug),
        action=_("Export all data"),
        after=[
            _("Until then, members can still sign in to read invoices and to export all data."),
            _("Invoices and books are kept for five years, as the law demands."),
        ],
    )


def _closure(notice: Notice, data: Mapping[str, Any], *, subject: str, lead: str, after: list[str]) -> NoticeWords:
    by = [(_("Asked for by"), _line(data["asked_by"]))] if data["asked_by"] else []
    return NoticeWords(
        subject=subject,
        lead=lead,
        facts=[(_("Closing moment"), _moment(notice, data["closes_at"])), *by],
        url=closure_page(organization_slug=notice.organization.slug),
        action=_("View the closure"),
        after=after,
    )


def _webhook_disabled(notice: Notice, data: Mapping[str, Any]) -> NoticeWords:
    return NoticeWords(
        subject=_("A webhook was switched off"),
        lead=_("An address that hears of notices has failed for %(days)s days. Nothing more is sent there.")
        % {"days": data["days"]},
        facts=[(_("Address"), _line(data["url"]))],
        url=webhooks_page(organization_slug=notice.organization.slug),
        action=_("View the webhooks"),
    )


_WORDS: Mapping[Notice.Kind, Callable[[Notice, Mapping[str, Any]], NoticeWords]] = {
    Notice.Kind.LIMIT_THRESHOLD: _threshold,
    Notice.Kind.LIMIT_REFUSING: _limit_refuses,
    Notice.Kind.CREDIT_LOW: _credit_low,
    Notice.Kind.KEY_CREATED: _key_created,
    Notice.Kind.KEY_STOPPED: _key_stopped,
    Notice.Kind.SUSPENDED: _suspended,
    Notice.Kind.RESTORED: _restored,
    Notice.Kind.CLOSURE_ASKED: _closure_asked,
    Notice.Kind.CLOSURE_WITHDRAWN: _closure_withdrawn,
    Notice.Kind.CLOSING: _closing,
    Notice.Kind.CLOSED: _closed,
    Notice.Kind.WEBHOOK_DISABLED: _webhook_disabled,
}


def _limit_facts(notice: Notice, data: Mapping[str, Any], *, main: str) -> Facts:
    """All figures but the one that the mail already names as `main`."""
    kinds = {
        (LimitWindow.DAY, True): _("daily, hard"),
        (LimitWindow.DAY, False): _("daily, soft"),
        (LimitWindow.MONTH, True): _("monthly, hard"),
        (LimitWindow.MONTH, False): _("monthly, soft"),
    }
    return [
        (_("Whose spending"), _whose(data)),
        (_("Spend limit"), f"{_money(data, 'amount')} ({kinds[LimitWindow(data['window']), data['hard']]})"),
        *([] if main == "spent" else [(_("Spent"), _money(data, "spent"))]),
        (_("Held"), _money(data, "held")),
        (_("Begins anew"), _moment(notice, data["resets_at"])),
    ]


def _whose(data: Mapping[str, Any]) -> str:
    if data["api_key"]:
        return _key(data)
    if data["member"]:
        return _line(data["member"]["name"] or data["member"]["email"])
    return _("The whole organization")


def _key(data: Mapping[str, Any]) -> str:
    return _line(f"{data['api_key']['name']} ({data['api_key']['prefix']}…)")


def _line(text: str) -> str:
    return " ".join(text.split())


def _money(data: Mapping[str, Any], name: str) -> str:
    return texts.money(round_to_minor(Decimal(data[name]), data["currency"]), data["currency"])


def _moment(notice: Notice, text: str) -> str:
    moment = datetime.fromisoformat(text).astimezone(ZoneInfo(notice.organization.zone))
    return texts.prose_moment(moment, get_language() or texts.KOREAN)
