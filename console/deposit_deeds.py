"""What an operator does with deposits: take in a statement, match one by hand, set one aside."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts.models import Currency, Organization
from billing.bank.bank_statement_table import LARGEST_FILE, Fault, StatementRefused
from billing.bank.bank_statements import StatementLine
from billing.bank.deposit_decisions import (
    AlreadyDecided,
    NoLongerFits,
    OtherCurrency,
    Share,
    match_deposit,
    plan_of,
    set_aside,
)
from billing.bank.statement_import import Compared, FormDiffers, bare_account, compare_statement, import_statement
from billing.bank.taken_back import settle_taken_back, still_matched
from billing.bank.transfer_matching import certain, match_waiting
from billing.bank.undoing import AlreadyUndone, undo_decision
from billing.invoicing import PaymentInProgress
from billing.models import Invoice, Payment
from billing.models.deposits import BankDeposit, DepositDecision
from billing.payments.reversing import GivenBack
from billing.sellers import NoSeller, current_seller
from console.deeds import Deed, DeedForm, Refused, Row, add_deed
from console.deposits import REFUSALS, TAKEN_BACK, DepositRow, waiting_rows
from console.figures import figure, money
from console.standing import ReasonForm
from console.uploads import FileRefused, UploadDeed, UploadForm, file_field
from ledger.settling import CreditSpent
from pricing.plain_text import plain

MOST_SHOWN = 100
TAKING = (Invoice.Status.OPEN, Invoice.Status.UNCOLLECTIBLE)
"""Invoices that money may still come in for; of any other one its organization's are paid."""
FAULTS: dict[Fault, Promise] = {
    Fault.TOO_LARGE: _("The file is larger than 4 MB. Export fewer days."),
    Fault.NO_TEXT: _("The file is neither text in UTF-8 nor in CP949. Export it as CSV, not as an Excel file."),
    Fault.NO_TABLE: _("No table was found: it needs columns of the day, the payer and the amount that came in."),
    Fault.TWO_COLUMNS: _("Two columns have the same name"),
    Fault.TOO_MANY_LINES: _("The file has more than 20,000 lines. Export fewer days."),
    Fault.BAD_LINE: _("This line cannot be read"),
    Fault.BAD_DAY: _("This is no day or time"),
    Fault.BAD_AMOUNT: _("This is no amount in the account's currency"),
    Fault.NO_DIRECTION: _("It is not clear whether this came in or went out"),
    Fault.NOT_YET: _("This moment has not come yet"),
}


class StatementForm(UploadForm):
    file = file_field(
        accept=".csv,.txt,.tsv",
        help_text=_("CSV, as your bank exports it, in UTF-8 or CP949. Days that were imported before do no harm."),
    )
    account = forms.CharField(label=_("Account number"), max_length=40)
    currency = forms.ChoiceField(label=_("Currency"), choices=Currency.choices)

    def clean_account(self) -> str:
        account = bare_account(self.cleaned_data["account"])
        if not account:
            raise forms.ValidationError(gettext("An account number has digits."))
        return account


class ImportStatement(UploadDeed):
    form_class = StatementForm
    title = _("Import a bank statement")
    lead = _("Each deposit is taken once. What fits one customer only, by amount and name, is matched at once.")
    button = _("Import it")
    review_template = "console/parts/statement_preview.html"
    to_undo = False

    def initial(self) -> dict[str, Any]:
        try:
            return {"account": current_seller(now=timezone.now()).bank_account}
        except NoSeller:
            return {}

    def check_file(self, sent: UploadedFile) -> None:
        if sent.size > LARGEST_FILE:
            raise FileRefused(FAULTS[Fault.TOO_LARGE])

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        compared = self._compared(values, now=now)
        statement = compared.statement
        rows: list[Row] = [
            (_("File"), values["name"]),
            (_("Account number"), values["account"]),
            (_("Deposits"), figure("tokens")(len(statement.deposits))),
            (_("New deposits"), figure("tokens")(len(compared.new))),
            (_("Known already"), figure("tokens")(compared.known)),
            (_("Withdrawals, not taken"), figure("tokens")(statement.withdrawals)),
        ]
        if statement.remarks:
            rows.append((_("Totals and notes, not taken"), figure("tokens")(statement.remarks)))
        rows += [
            (_("The bank took back"), _line_in_words(line, values["currency"])) for line in compared.new_taken_back
        ]
        if compared.new_taken_back:
            rows.append((_("What becomes of it"), _("What waits is set aside. What has paid, you undo afterwards.")))
        return rows

    def preview(self, values: dict[str, Any], *, now: datetime) -> dict[str, Any]:
        """The first of the new deposits, each with whose it is or may be."""
        compared = self._compared(values, now=now)
        new, gone = compared.new, {(line.amount, line.payer) for line in compared.new_taken_back}
        shown = waiting_rows(
            BankDeposit(
                line=line.line,
                account=values["account"],
                currency=values["currency"],
                at=line.at,
                amount=line.amount,
                payer=line.payer,
                memo=line.memo,
            )
            for line in new[:MOST_SHOWN]
        )
        rows = [(row, _is_certain(row) and (row.deposit.amount, row.deposit.payer) not in gone) for row in shown]
        return {"rows": rows, "more": max(len(new) - MOST_SHOWN, 0)}

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        try:
            _row, compared = import_statement(
                values["content"],
                file_name=values["name"],
                account=values["account"],
                currency=values["currency"],
                now=now,
                actor=self.request.user,
            )
        except (StatementRefused, FormDiffers) as refusal:
            raise Refused(told(refusal)) from None
        matched, new = len(match_waiting(now=now)), len(compared.new)
        said = ngettext("%(count)d new deposit", "%(count)d new deposits", new) % {"count": new}
        said = f"{said}, " + ngettext("%(count)d matched", "%(count)d matched", matched) % {"count": matched}
        self.to_undo = bool(compared.new_taken_back) and still_matched().exists()
        if self.to_undo:
            return f"{said}. " + gettext("The bank took back what has paid: undo these matches.")
        return said

    def back(self) -> str:
        return reverse("admin:deposits") + (f"?state={TAKEN_BACK}" if self.to_undo else "")

    def _compared(self, values: dict[str, Any], *, now: datetime) -> Compared:
        try:
            return compare_statement(values["content"], account=values["account"], currency=values["currency"], now=now)
        except (StatementRefused, FormDiffers) as refusal:
            raise Refused(told(refusal)) from None


class DepositDeed(Deed):
    """On one deposit that waits."""

    def prepare(self, pk: int) -> None:
        self.deposit = get_object_or_404(BankDeposit, pk=pk)

    def facts(self) -> list[Row]:
        deposit = self.deposit
        return [
            (_("Time"), figure("table_time")(deposit.at)),
            (_("Payer"), deposit.payer or "–"),
            (_("Memo"), deposit.memo or "–"),
            (_("Amount"), money(deposit.amount, deposit.currency)),
            (_("Account number"), deposit.account),
        ]

    def back(self) -> str:
        return reverse("admin:deposits")


class TargetForm(DeedForm):
    target = forms.CharField(
        label=_("Invoice number or organization"),
        max_length=60,
        help_text=_(
            "An invoice is paid first, then the organization's others, the oldest first. Its short name pays the oldest."
        ),
    )
    plan = forms.CharField(required=False, widget=forms.HiddenInput)


class MatchByHand(DepositDeed):
    form_class = TargetForm
    title = _("Match the deposit by hand")
    lead = _("The payer's name is remembered for the organization. A match cannot be taken back: look twice.")
    button = _("Match it")

    def form(self, data: Any = None) -> DeedForm:
        """What is shown for reading travels with the form, so that nothing else is done than what was read."""
        if data is not None and "confirm" not in data:
            data = data.copy()
            data["plan"] = self._plan({"target": data.get("target", "")})
        return super().form(data)

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        organization, first = self._target(values)
        try:
            shares = plan_of(deposit=self.deposit, organization_id=organization.pk, first=first)
        except (NoLongerFits, OtherCurrency) as refusal:
            raise Refused(str(REFUSALS[type(refusal)])) from None
        invoices = Invoice.objects.in_bulk([share.invoice_id for share in shares])
        currency = self.deposit.currency
        rows: list[Row] = [*self.facts(), (_("organization"), organization)]
        if not shares:
            rows.append((_("Becomes prepaid credit"), money(self.deposit.amount, currency)))
        for share in shares:
            invoice = invoices[share.invoice_id]
            rows.append((invoice.number, money(share.amount, currency)))
            if share.credit:
                rows.append((_("Of it becomes prepaid credit"), money(share.credit, currency)))
        return rows

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        organization, first = self._target(values)
        try:
            shares = plan_of(deposit=self.deposit, organization_id=organization.pk, first=first)
            if values["plan"] and values["plan"] != in_short(organization, shares):
                raise NoLongerFits
            match_deposit(
                deposit=self.deposit,
                organization_id=organization.pk,
                first=first,
                kind=DepositDecision.Kind.CONFIRMED,
                expected=shares,
                now=now,
                actor=self.request.user,
            )
        except (AlreadyDecided, NoLongerFits, OtherCurrency) as refusal:
            raise Refused(str(REFUSALS[type(refusal)])) from None
        return gettext("The deposit is matched: %(payer)s → %(organization)s") % {
            "payer": self.deposit.payer,
            "organization": organization.name,
        }

    def _plan(self, values: dict[str, Any]) -> str:
        """How the deposit would be shared out now; nothing where it cannot be, which the review says."""
        try:
            organization, first = self._target(values)
            return in_short(organization, plan_of(deposit=self.deposit, organization_id=organization.pk, first=first))
        except (Refused, NoLongerFits, OtherCurrency):
            return ""

    def _target(self, values: dict[str, Any]) -> tuple[Organization, UUID | None]:
        """The organization, and the invoice that is paid first. Raises Refused."""
        target = values["target"].strip()
        invoice = Invoice.objects.filter(number=target).select_related("organization").first()
        if invoice is not None:
            return invoice.organization, invoice.pk if invoice.status in TAKING else None
        organization = Organization.objects.filter(slug=target).first()
        if organization is None:
            raise Refused(gettext("There is no invoice and no organization of this name."))
        return organization, None


class SetAside(DepositDeed):
    form_class = ReasonForm
    title = _("Set the deposit aside")
    lead = _("It pays nothing: interest, money of our own, or a transfer that was recorded by hand.")
    button = _("Set aside")

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        return [*self.facts(), (_("Reason"), values["reason"])]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        try:
            set_aside(deposit=self.deposit, reason=values["reason"], now=now, actor=self.request.user)
        except AlreadyDecided:
            raise Refused(str(REFUSALS[AlreadyDecided])) from None
        return gettext("The deposit is set aside.")


class Undo(Deed):
    form_class = ReasonForm
    title = _("Undo the decision")
    lead = _(
        "The payments that the deposit became are taken back: invoices are open again, credit is gone, and customers are told "
        "that their receipts are void. Then the deposit waits for another decision; nothing is matched by itself again."
    )
    button = _("Undo")
    danger = True

    def prepare(self, pk: int) -> None:
        rows = DepositDecision.objects.select_related("deposit", "organization")
        self.decision = get_object_or_404(rows, pk=pk, undone_at=None)

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        deposit = self.decision.deposit
        parts = self.decision.parts.select_related("payment__invoice").order_by("pk")
        return [
            (_("Time"), figure("table_time")(deposit.at)),
            (_("Payer"), deposit.payer or "–"),
            (_("Amount"), money(deposit.amount, deposit.currency)),
            (_("organization"), self.decision.organization or self.decision.get_kind_display()),
            *((_named(part.payment), money(part.payment.amount, part.payment.currency)) for part in parts),
            (_("Reason"), values["reason"]),
        ]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        try:
            undo_decision(decision_id=self.decision.pk, reason=values["reason"], now=now, actor=self.request.user)
        except (AlreadyUndone, CreditSpent, GivenBack, PaymentInProgress) as refusal:
            raise Refused(str(STAYS[type(refusal)])) from None
        if settle_taken_back(now=now):
            return gettext("The decision is undone. The bank took the deposit back, so it is set aside.")
        return gettext("The decision is undone. The deposit waits again.")

    def back(self) -> str:
        return reverse("admin:deposits")


STAYS: dict[type[Exception], Promise] = {
    AlreadyUndone: _("Somebody else has undone it."),
    CreditSpent: _("The credit that the deposit became was used meanwhile."),
    GivenBack: _("Money of this payment was given back by a refund or a credit note."),
    PaymentInProgress: _("The invoice is being paid right now."),
}


def _line_in_words(line: StatementLine, currency: str) -> str:
    said = (figure("table_time")(line.at), line.payer or "–", figure("money")(line.amount, currency))
    return " · ".join((*said, gettext("line %(line)s") % {"line": line.line}))


def _named(payment: Payment) -> Any:
    return payment.invoice.number if payment.invoice else _("prepaid credit")


def in_short(organization: Organization, shares: Sequence[Share]) -> str:
    """Whose a deposit becomes and what it pays, to be compared."""
    return " ".join([str(organization.pk), *(f"{share.invoice_id}={plain(share.amount)}" for share in shares)])


def told(refusal: StatementRefused | FormDiffers) -> str:
    """Why a statement is not taken, with the line and what stands there."""
    if isinstance(refusal, FormDiffers):
        return gettext(
            "These days were imported from a statement with other columns. Export this one in the same form."
        )
    said = str(FAULTS[refusal.fault]).rstrip(".")
    if refusal.line:
        said = gettext("Line %(line)s: %(what)s") % {"line": refusal.line, "what": said}
    if refusal.text:
        said = f"{said} (“{refusal.text}”)"
    nothing_taken = gettext("Nothing was taken.")
    return f"{said}. {nothing_taken}"


def _is_certain(row: DepositRow) -> bool:
    return certain([one.suggestion for one in row.proposals]) is not None


add_deed("deposits/import/", ImportStatement, name="import_statement")
add_deed("deposits/<int:pk>/match/", MatchByHand, name="match_deposit")
add_deed("deposit-decisions/<int:pk>/undo/", Undo, name="undo_deposit")
add_deed("deposits/<int:pk>/set-aside/", SetAside, name="set_aside_deposit")
