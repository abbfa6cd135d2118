"""What each mail says, in its recipient's language: one layout (templates/mail/letter.*), words and figures by kind.

Figures and the names of amounts are those of the PDF (`document_texts`), so that mail and document never differ.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import cast
from zoneinfo import ZoneInfo

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext as _

from accounts.invitations import token_of
from accounts.models import Invitation
from billing.models import CreditNote, Invoice, Notice, OutboxMail, TaxInvoice
from billing.notifications.notice_texts import words_of
from billing.papers import document_texts as texts
from billing.papers.document_content import credit_word, nothing_due_words, service_days
from billing.payments.payment_states import AUTHENTICATION_REQUIRED, FAILURES
from billing.seller_on_site import seller_on_site
from billing.settlement import outstanding, recoverable
from billing.site_addresses import credit_note_page, credit_page, invoice_page
from pricing.exact import EXACT

INVITATION_PAGE = "{site}/invitations/{token}"
HIDDEN = "•" * 12
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_PROCESSORS = {"stripe": lambda: _("Card"), "bank_transfer": lambda: _("Bank transfer")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A mail as it goes out, but for its attachment."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wording:
    """What the layout is filled with. `facts` are pairs of label and value, `main` is the one that counts."""

    subject: str
    lead: str
    facts: list[tuple[str, str]]
    main: tuple[str, str] | None = None
    url: str
    action: str
    after: list[str] = field(default_factory=list)


def compose(mail: OutboxMail, *, without_token: bool = False) -> Letter:
    """Word the mail in its language, with its invoice as it stands now. Needs the organization's tenant scope.

    `without_token` is for anybody but the recipient: an invitation's link leads nowhere then.
    """
    with translation.override(mail.language):
        wording = _WORDINGS[OutboxMail.Kind(mail.kind)](mail)
        if without_token and mail.kind == OutboxMail.Kind.INVITATION:
            wording = replace(wording, url=INVITATION_PAGE.format(site=settings.SITE_URL, token=HIDDEN))
        context = {
            "wording": wording,
            "recipient_name": one_line(mail.invoice.buyer["contact_name"]) if mail.invoice else "",
            "seller": _seller(mail),
        }
        return Letter(
            subject=one_line(f"[{_('InvoiceDream')}] {wording.subject}"),
            text=render_to_string("mail/letter.txt", context),
            html=render_to_string("mail/letter.html", context),
        )


def invitation_of(mail: OutboxMail) -> Invitation:
    """The invitation that a mail of that kind carries; its token is made anew from the row. Needs the tenant scope."""
    if mail.about is not None:
        return cast(Invitation, mail.about)
    invitations = Invitation.objects.for_organization(mail.organization_id).select_related("invited_by")
    return invitations.get(pk=mail.context["invitation"])


def sheet_of(mail: OutboxMail) -> TaxInvoice:
    """The tax invoice that a mail of that kind tells of. Needs the tenant scope."""
    if mail.about is not None:
        return cast(TaxInvoice, mail.about)
    return TaxInvoice.objects.for_organization(mail.organization_id).get(pk=mail.context["tax_invoice"])


def one_line(text: str) -> str:
    """Somebody else's text on one line: in a header it cannot start another, in a mail it cannot pose as a paragraph of ours."""
    return " ".join(_CONTROLS.sub(" ", text).split())


# -- what each kind says -------------------------------------------------------------------------------------------------


def _invoice(mail: OutboxMail) -> _Wording:
    invoice = _of(mail)
    month = texts.month(service_days(invoice)[0], mail.language)
    amounts = [
        (_label(mail, "subtotal"), invoice.subtotal),
        (_("VAT"), invoice.tax),
        (_label(mail, "total"), invoice.total),
    ]
    if invoice.credit_applied:
        amounts.append((credit_word(invoice, mail.language), -invoice.credit_applied))
    is_final = invoice.kind == Invoice.Kind.FINAL
    subject = _("%(month)s final invoice (%(number)s)") if is_final else _("%(month)s invoice (%(number)s)")
    lead = (
        _("Here is your final invoice for %(month)s, up to the closing of your organization. The PDF is attached.")
        if is_final
        else _("Here is your invoice for %(month)s. The PDF is attached.")
    )
    return _Wording(
        subject=subject % {"month": month, "number": invoice.number},
        lead=lead % {"month": month},
        main=(_label(mail, "amount_due"), _money(invoice, invoice.amount_due)),
        facts=[
            (_label(mail, "number"), invoice.number),
            *((label, _money(invoice, amount)) for label, amount in amounts),
            *_due_day(mail, invoice),
            *_account(mail, invoice),
        ],
        url=_page(mail, invoice),
        action=_("View and pay the invoice") if invoice.amount_due > 0 else _("View the invoice"),
        after=_how_to_pay(mail, invoice),
    )


def _receipt(mail: OutboxMail) -> _Wording:
    invoice, context = _of(mail), mail.context
    paid = Decimal(context.get("amount", invoice.amount_due))
    facts = [(_label(mail, "number"), invoice.number)]
    facts.append((_("Paid on"), _day_of_payment(mail, zone=invoice.period.zone)))
    if processor := _PROCESSORS.get(context.get("processor", "")):
        facts.append((_("Payment method"), processor()))
    if Decimal(context.get("to_credit", 0)):
        facts.append((_("Kept as credit"), _money(invoice, Decimal(context["to_credit"]))))
    if rest := outstanding(invoice):
        facts.append((_("Still to be paid"), _money(invoice, rest)))
    return _Wording(
        subject=_("Payment receipt (%(number)s)") % {"number": invoice.number},
        lead=_("We have received your payment."),
        main=(_("Amount paid"), _money(invoice, paid)),
        facts=facts,
        url=_page(mail, invoice),
        action=_("View the invoice"),
        after=[_("The PDF is attached.")],
    )


def _day_of_payment(mail: OutboxMail, *, zone: str) -> str:
    """When the money came, which for a transfer is before it was entered; as on the receipt itself."""
    paid_at = mail.context.get("paid_at")
    moment = datetime.fromisoformat(paid_at) if paid_at else mail.created_at
    return texts.prose_day(moment.astimezone(ZoneInfo(zone)), mail.language)


def _payment_failed(mail: OutboxMail) -> _Wording:
    invoice, context = _of(mail), mail.context
    confirm = context.get("failure", "") == AUTHENTICATION_REQUIRED
    return _Wording(
        subject=_("Payment failed (%(number)s)") % {"number": invoice.number},
        lead=_(
            "Your bank asks you to confirm this payment yourself. Please open the invoice and pay there. Nothing was charged."
        )
        if confirm
        else _(
            "We tried to collect the amount due with your payment method, but the payment was not approved. Nothing was charged."
        ),
        main=(_label(mail, "amount_due"), _money(invoice, Decimal(context.get("amount", invoice.amount_due)))),
        facts=[
            (_label(mail, "number"), invoice.number),
            (_("Reason"), _why(context)),
            *_due_day(mail, invoice),
            *_account(mail, invoice),
        ],
        url=_page(mail, invoice),
        action=_("Confirm and pay") if confirm else _("Pay the invoice"),
        after=_how_to_pay(mail, invoice),
    )


def _top_up(mail: OutboxMail) -> _Wording:
    context = mail.context
    paid_on = _day_of_payment(mail, zone=mail.organization.zone)
    way = context["method"] or _PROCESSORS[context["processor"]]()
    return _Wording(
        subject=_("Top-up receipt"),
        lead=_("We have received your payment. It is credit now."),
        main=(_("Credit added"), texts.money(Decimal(context["amount"]), context["currency"])),
        facts=[*_whose(mail), (_("Paid on"), paid_on), (_("Payment method"), one_line(way))],
        url=credit_page(organization_slug=mail.organization.slug),
        action=_("View the credit"),
        after=[
            _("The PDF is attached."),
            _("The amount includes VAT. The usage that it pays for is invoiced after the month, with its VAT."),
        ],
    )


def _top_up_failed(mail: OutboxMail) -> _Wording:
    context = mail.context
    return _Wording(
        subject=_("Automatic top-up failed"),
        lead=_("Your card did not pay an automatic top-up. Nothing was charged, and automatic top-ups are stopped."),
        main=(_("Amount"), texts.money(Decimal(context["amount"]), context["currency"])),
        facts=[*_whose(mail), (_("Card"), one_line(context["method"])), (_("Reason"), _why(context))],
        url=credit_page(organization_slug=mail.organization.slug),
        action=_("Top up credit"),
        after=[
            _("On that page you can pay with another card, confirm the payment with your bank, and start them again.")
        ],
    )


def _due_soon(mail: OutboxMail) -> _Wording:
    invoice = _of(mail)
    day = texts.prose_day(invoice.due_on, mail.language)
    return _reminder(
        mail,
        subject=_("Payment is due on %(day)s (%(number)s)") % {"day": day, "number": invoice.number},
        lead=_("An invoice is due in a few days. If you have paid in the meantime, please ignore this mail."),
    )


def _overdue(mail: OutboxMail) -> _Wording:
    invoice = _of(mail)
    on = mail.context.get("suspension_on", "")
    warning = _(
        "If it stays unpaid, calls with your API keys will be refused from %(day)s on. They work again by themselves as soon as"
        " nothing is overdue. Pages, invoices and reported usage are not concerned."
    )
    return _reminder(
        mail,
        subject=_("Overdue invoice (%(number)s)") % {"number": invoice.number},
        lead=_("The due date of an invoice has passed. If you have paid in the meantime, please ignore this mail."),
        warning=warning % {"day": texts.prose_day(date.fromisoformat(on), mail.language)} if on else "",
    )


def _reminder(mail: OutboxMail, *, subject: str, lead: str, warning: str = "") -> _Wording:
    """What is still owed, since when, and how to pay it."""
    invoice = _of(mail)
    left = outstanding(invoice)
    facts = [(_label(mail, "number"), invoice.number)]
    if left != invoice.amount_due:
        facts.append((_("Paid so far"), _money(invoice, EXACT.subtract(invoice.amount_due, left))))
    return _Wording(
        subject=subject,
        lead=lead,
        main=(_("Still to be paid"), _money(invoice, left)),
        facts=[*facts, *_due_day(mail, invoice), *_account(mail, invoice)],
        url=_page(mail, invoice),
        action=_("View and pay the invoice"),
        after=[*([warning] if warning else []), *_how_to_pay(mail, invoice)],
    )


def _invitation(mail: OutboxMail) -> _Wording:
    invitation = invitation_of(mail)
    organization = one_line(mail.organization.name)
    last_day = invitation.expires_at.astimezone(ZoneInfo(mail.organization.zone))
    token = token_of(invitation_id=invitation.pk, nonce=invitation.nonce)
    return _Wording(
        subject=_("Invitation to %(organization)s") % {"organization": organization},
        lead=_("You are invited to work together in an organization on InvoiceDream."),
        facts=[
            (_("Organization"), organization),
            (_("Role"), str(invitation.get_role_display())),
            (_("Invited by"), one_line(invitation.invited_by.get_full_name())),
            (_("Valid until"), texts.prose_day(last_day, mail.language)),
        ],
        url=INVITATION_PAGE.format(site=settings.SITE_URL, token=token),
        action=_("Accept the invitation"),
        after=[_("If you did not expect this invitation, you can ignore this mail. Nothing changes.")],
    )


def _notice(mail: OutboxMail) -> _Wording:
    words = words_of(_notice_of(mail))
    return _Wording(
        subject=words.subject,
        lead=words.lead,
        main=words.main,
        facts=[*_whose(mail), *words.facts],
        url=words.url,
        action=words.action,
        after=words.after,
    )


def _credit_note(mail: OutboxMail) -> _Wording:
    note, invoice = _note_of(mail), _of(mail)
    amounts = [
        (_("Less to pay"), note.applied),
        (_("Kept as credit"), EXACT.add(note.to_credit, note.credit_returned)),
        (_("Is sent back"), note.to_refund),
    ]
    return _Wording(
        subject=_("Credit note %(number)s on invoice %(invoice)s") % {"number": note.number, "invoice": invoice.number},
        lead=_("An invoice of yours was corrected. Here is the credit note."),
        main=(_("Credited"), _money(invoice, note.total)),
        facts=[
            (_("Credit note"), note.number),
            (_label(mail, "number"), invoice.number),
            (_label(mail, "subtotal"), _money(invoice, note.subtotal)),
            (_("VAT"), _money(invoice, note.tax)),
            *((label, _money(invoice, amount)) for label, amount in amounts if amount),
            (_("Reason"), one_line(note.reason)),
        ],
        url=credit_note_page(organization_slug=mail.organization.slug, note_id=note.pk),
        action=_("View the credit note"),
        after=[_("The PDF is attached.")],
    )


def _refund(mail: OutboxMail) -> _Wording:
    context = mail.context
    lead = _("We have sent money back to you. Until it is on your account or card statement, a few days may pass.")
    processor = _PROCESSORS.get(context["processor"])
    sent_by = [(_("Sent back by"), processor())] if processor else []
    if mail.invoice is None:
        return _Wording(
            subject=_("Refund of unused credit"),
            lead=lead,
            main=(_("Refunded amount"), texts.money(Decimal(context["amount"]), context["currency"])),
            facts=[*_whose(mail), *sent_by],
            url=credit_page(organization_slug=mail.organization.slug),
            action=_("View the credit"),
        )
    note, invoice = _note_of(mail), _of(mail)
    return _Wording(
        subject=_("Refund for invoice %(invoice)s") % {"invoice": invoice.number},
        lead=lead,
        main=(_("Refunded amount"), _money(invoice, Decimal(context["amount"]))),
        facts=[(_("Credit note"), note.number), (_label(mail, "number"), invoice.number), *sent_by],
        url=credit_note_page(organization_slug=mail.organization.slug, note_id=note.pk),
        action=_("View the credit note"),
    )


def _payment_reversed(mail: OutboxMail) -> _Wording:
    context = mail.context
    amount = (_("Amount"), texts.money(Decimal(context["amount"]), context["currency"]))
    if mail.invoice is None:
        return _Wording(
            subject=_("Credit taken back"),
            lead=_(
                "We had taken a bank transfer of somebody else for yours by mistake. Its credit is taken back, and its receipt is"
                " void. We are sorry for the confusion."
            ),
            main=amount,
            facts=_whose(mail),
            url=credit_page(organization_slug=mail.organization.slug),
            action=_("View the credit"),
        )
    invoice = _of(mail)
    return _Wording(
        subject=_("Payment taken back (%(number)s)") % {"number": invoice.number},
        lead=_(
            "We had taken a bank transfer of somebody else for yours by mistake. It does not pay your invoice any more, and its"
            " receipt is void. We are sorry for the confusion."
        ),
        main=(_("Still to be paid"), _money(invoice, outstanding(invoice) or recoverable(invoice))),
        facts=[(_label(mail, "number"), invoice.number), amount, *_due_day(mail, invoice), *_account(mail, invoice)],
        url=_page(mail, invoice),
        action=_("View the invoice"),
        after=_how_to_pay(mail, invoice),
    )


def _tax_invoice(mail: OutboxMail) -> _Wording:
    sheet, invoice = sheet_of(mail), _of(mail)
    number = {"number": invoice.number}
    facts = [
        (_("Approval number"), sheet.approval_number),
        (_label(mail, "number"), invoice.number),
        (_("Date of writing"), texts.prose_day(sheet.write_date, mail.language)),
        (_("Buyer"), one_line(f"{sheet.buyer['name']} ({sheet.buyer['registration_number']})")),
        (_("Supply value"), _money(invoice, sheet.supply)),
        (_("VAT"), _money(invoice, sheet.tax)),
    ]
    known = _(
        "The tax office has it by the day after it was issued. At Hometax (hometax.go.kr) it is found under its approval number."
    )
    to_pay = invoice.status == Invoice.Status.OPEN and outstanding(invoice) > 0
    by_transfer = [
        _("Please pay this invoice by transfer: what a card pays gets no tax invoice."),
        _label(mail, "bank_note"),
    ]
    return _Wording(
        subject=(_("Amended tax invoice issued (%(number)s)") if sheet.reason else _("Tax invoice issued (%(number)s)"))
        % number,
        lead=_("A tax invoice that was issued for an invoice of yours is amended.")
        if sheet.reason
        else _("The tax invoice for an invoice of yours is issued."),
        main=(_("Total"), _money(invoice, sheet.total)),
        facts=[
            *facts,
            *([(_("Amendment"), str(sheet.get_reason_display()))] if sheet.reason else []),
            *(_account(mail, invoice) if to_pay else []),
        ],
        url=_page(mail, invoice),
        action=_("View the invoice"),
        after=[known, *(by_transfer if to_pay else [])],
    )


_WORDINGS: Mapping[OutboxMail.Kind, Callable[[OutboxMail], _Wording]] = {
    OutboxMail.Kind.INVOICE: _invoice,
    OutboxMail.Kind.RECEIPT: _receipt,
    OutboxMail.Kind.PAYMENT_FAILED: _payment_failed,
    OutboxMail.Kind.TOP_UP: _top_up,
    OutboxMail.Kind.TOP_UP_FAILED: _top_up_failed,
    OutboxMail.Kind.DUE_SOON: _due_soon,
    OutboxMail.Kind.OVERDUE: _overdue,
    OutboxMail.Kind.INVITATION: _invitation,
    OutboxMail.Kind.NOTICE: _notice,
    OutboxMail.Kind.CREDIT_NOTE: _credit_note,
    OutboxMail.Kind.REFUND: _refund,
    OutboxMail.Kind.PAYMENT_REVERSED: _payment_reversed,
    OutboxMail.Kind.TAX_INVOICE: _tax_invoice,
}


# -- pieces --------------------------------------------------------------------------------------------------------------


def _of(mail: OutboxMail) -> Invoice:
    assert mail.invoice is not None, f"a mail of kind {mail.kind} is about an invoice"
    return mail.invoice


def _whose(mail: OutboxMail) -> list[tuple[str, str]]:
    return [(_("Organization"), one_line(mail.organization.name))]


def _why(context: Mapping[str, str]) -> str:
    return str(FAILURES.get(context.get("failure", ""), _("The card was declined.")))


def _label(mail: OutboxMail, name: str, **values: str) -> str:
    return texts.word(name, mail.language, **values)


def _money(invoice: Invoice, amount: Decimal) -> str:
    return texts.money(amount, invoice.currency)


def _due_day(mail: OutboxMail, invoice: Invoice) -> list[tuple[str, str]]:
    if invoice.amount_due <= 0:
        return []
    return [(_label(mail, "due_on"), texts.prose_day(invoice.due_on, mail.language))]


def _account(mail: OutboxMail, invoice: Invoice) -> list[tuple[str, str]]:
    if invoice.amount_due <= 0:
        return []
    seller = invoice.seller
    return [
        (_label(mail, "bank"), one_line(f"{seller['bank_name']} {seller['bank_account']}")),
        (_("Account holder"), one_line(seller["bank_holder"])),
    ]


def _how_to_pay(mail: OutboxMail, invoice: Invoice) -> list[str]:
    if invoice.amount_due <= 0:
        return [nothing_due_words(invoice, mail.language)]
    if "charged_on" in mail.context:
        day = texts.prose_day(date.fromisoformat(mail.context["charged_on"]), mail.language)
        names = {"card": one_line(mail.context["card"]), "day": day}
        return [_("It will be charged to your card by itself (%(card)s, %(day)s). You need not do anything.") % names]
    return [_label(mail, "bank_note")]


def _page(mail: OutboxMail, invoice: Invoice) -> str:
    return invoice_page(organization_slug=mail.organization.slug, invoice_id=invoice.pk)


def _notice_of(mail: OutboxMail) -> Notice:
    if mail.about is not None:
        return cast(Notice, mail.about)
    notices = Notice.objects.for_organization(mail.organization_id).select_related("organization")
    return notices.get(pk=mail.context["notice"])


def _note_of(mail: OutboxMail) -> CreditNote:
    if mail.about is not None:
        return cast(CreditNote, mail.about)
    return CreditNote.objects.for_organization(mail.organization_id).get(pk=mail.context["credit_note"])


def _seller(mail: OutboxMail) -> Mapping[str, str]:
    """For the foot of the mail: the invoice's own seller, or the one in force when the mail was written."""
    if mail.invoice is None:
        return seller_on_site(now=mail.created_at)
    snapshot = mail.invoice.seller
    english = mail.language == texts.ENGLISH
    own = {
        name: (snapshot.get(f"{name}_en", "") if english else "") or snapshot[name]
        for name in ("legal_name", "address")
    }
    return {**snapshot, "name": own["legal_name"], "address": own["address"]}
