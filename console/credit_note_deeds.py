"""Make a credit note: on all that is left of an invoice, by line, or as it was proposed after a price was corrected."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from billing.corrections.credit_notes import (
    ChangedMeanwhile,
    NotProposed,
    accept_proposal,
    issue_credit_note,
    preview_note,
)
from billing.corrections.creditable import (
    Left,
    LineLeft,
    MoneyBack,
    NotCreditable,
    Plan,
    TooMuch,
    WrittenOff,
    left_of,
    plan_note,
)
from billing.corrections.proposed_amounts import Outdated, amounts_of_proposal
from billing.invoicing import PaymentInProgress
from billing.models import CreditNote, CreditNoteProposal, Invoice, InvoiceLine
from console.deeds import Deed, DeedForm, Obstacle, Refused, Row, add_deed
from console.figures import money
from console.one_invoice import InvoiceDeed
from console.payment_deeds import attempt_in_the_way
from console.read_only import address_of
from metering.token_labels import TOKEN_CLASSES
from pricing.exact import exact_sum
from pricing.plain_text import plain
from pricing.tokens import TokenClass

BACK = (
    (MoneyBack.CREDIT, _("Becomes credit, which pays for later usage")),
    (MoneyBack.REFUND, _("Is sent back: to the card at once, to a bank account by hand")),
)
AMOUNT = "amount_"
MOST_LINES = 40
"""More than these are counted on the page that says what will happen."""
MOST_SHOWN = 12
"""Lines of an invoice whose groups are all open on the form; of a longer one those that have an amount."""


class NoteForm(DeedForm):
    reason = forms.CharField(
        label=_("Reason"),
        max_length=200,
        help_text=_("The customer reads it word for word, on the credit note, its page and through the API."),
    )
    money_back = forms.ChoiceField(
        label=_("What was paid already"),
        choices=BACK,
        help_text=_("What is still to be paid is taken off first. What was paid by credit becomes credit again."),
    )


class WholeForm(NoteForm):
    reason_code = forms.ChoiceField(label=_("Reason for tax"), choices=CreditNote.ReasonCode.choices, initial="04")
    left = forms.DecimalField(widget=forms.HiddenInput, max_digits=18, decimal_places=2)
    field_order = ("reason_code", "reason", "money_back", "left")


@dataclass(frozen=True, slots=True)
class LineField:
    """A line, what it is called within its group, what is left of it, and the field for how much is taken back."""

    row: LineLeft
    name: str
    left: str
    field: Any


@dataclass(frozen=True, slots=True)
class LineGroup:
    """The lines of a model, or what was agreed."""

    name: Any
    left: str
    lines: list[LineField]
    is_open: bool


class LinesForm(WholeForm):
    """An amount before tax for each line of which something is left."""

    def __init__(self, *args: Any, invoice: Invoice, left: Left, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason_code"].initial = "02"
        self.invoice, self.left, self.currency = invoice, left, invoice.currency
        self.rows = [row for row in left.lines if row.left]
        for row in self.rows:
            self.fields[name_of_field(row)] = forms.DecimalField(
                label=line_label(row.line),
                required=False,
                max_digits=16,
                decimal_places=2,
                widget=forms.TextInput(
                    attrs=dict(self.fields["reason"].widget.attrs) | {"inputmode": "decimal", "data-take-back": ""}
                ),
            )

    @property
    def general(self) -> list[Any]:
        """The fields of the note itself."""
        return [field for field in self if not field.name.startswith(AMOUNT)]

    @property
    def groups(self) -> list[LineGroup]:
        """By model, in the invoice's order."""
        by_model: dict[str, list[LineLeft]] = {}
        for row in self.rows:
            by_model.setdefault(row.line.model if row.line.token_class else "", []).append(row)
        return [self._group(model or _("As agreed"), rows) for model, rows in by_model.items()]

    def _group(self, name: Any, rows: list[LineLeft]) -> LineGroup:
        lines = [
            LineField(row, within_model(row.line), money(row.left, self.currency), self._field(row)) for row in rows
        ]
        is_open = len(self.rows) <= MOST_SHOWN or any(line.field.value() for line in lines)
        return LineGroup(name, money(exact_sum(row.left for row in rows), self.currency), lines, is_open)

    @property
    def wrong(self) -> list[Any]:
        """The fields of lines that have errors."""
        return [field for field in map(self._field, self.rows) if field.errors]

    @property
    def decimals(self) -> int:
        """Of the currency, for the sum that is shown while one types."""
        return 0 if self.currency == "KRW" else 2

    def clean(self) -> dict[str, Any]:
        """Each amount by itself, so that every wrong one is told beside its field at once."""
        for row in self.rows:
            amount = self.cleaned_data.get(name_of_field(row))
            if amount is not None and self._is_too_much(row, amount):
                self.fields[name_of_field(row)].widget.attrs["aria-invalid"] = "true"
                text = gettext("Enter a whole amount above zero, up to %(left)s.")
                self.add_error(name_of_field(row), text % {"left": money(row.left, self.currency)})
        return self.cleaned_data

    def _is_too_much(self, row: LineLeft, amount: Decimal) -> bool:
        position = row.line.position
        try:
            plan_note(self.invoice, self.left, amounts={position: amount}, money_back=MoneyBack.CREDIT)
        except TooMuch as error:
            return error.position == position
        except NotCreditable:
            return False
        return False

    def _field(self, row: LineLeft) -> Any:
        return self[name_of_field(row)]


def name_of_field(row: LineLeft) -> str:
    return f"{AMOUNT}{row.line.position}"


def within_model(line: InvoiceLine) -> str:
    """The line's class, with its service month if that is another; or what was agreed."""
    if not line.token_class:
        return str(line.get_kind_display())
    late = f" ({line.service_month:%Y-%m})" if line.service_month else ""
    return f"{TOKEN_CLASSES[TokenClass(line.token_class)]}{late}"


def line_label(line: InvoiceLine) -> str:
    """The line's model and class, with its service month if that is another; or what was agreed."""
    return f"{line.model} · {within_model(line)}" if line.token_class else within_model(line)


class CreditWhole(InvoiceDeed):
    form_class = WholeForm
    title = _("Credit the whole invoice")
    lead = _(
        "A credit note takes back all that is left of the invoice. The invoice stays as it is; its usage is not invoiced again."
    )
    button = _("Issue the credit note")
    danger = True

    def obstacle(self) -> Obstacle | None:
        return attempt_in_the_way(self.invoice, now=timezone.now())

    def left(self) -> Left:
        return left_of(self.invoice)

    def initial(self) -> dict[str, Any]:
        return {"left": plain(self.left().subtotal)}

    def amounts(self, values: dict[str, Any]) -> dict[int, Decimal] | None:
        return None

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        try:
            left, plan = preview_note(
                organization_id=self.invoice.organization_id,
                invoice_id=self.invoice.pk,
                amounts=self.amounts(values),
                money_back=MoneyBack(values["money_back"]),
            )
        except (NotCreditable, TooMuch) as error:
            raise Refused(refusal(error)) from None
        if left.subtotal != values["left"]:
            raise Refused(CHANGED)
        code = CreditNote.ReasonCode(values["reason_code"])
        return [
            *self.facts(),
            *rows_of(self.invoice, left, plan),
            (_("Reason for tax"), f"{code.value} {code.label}"),
            (_("Reason"), values["reason"]),
        ]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        try:
            note = issue_credit_note(
                organization_id=self.invoice.organization_id,
                invoice_id=self.invoice.pk,
                amounts=self.amounts(values),
                money_back=MoneyBack(values["money_back"]),
                reason_code=values["reason_code"],
                reason=values["reason"],
                expected_left=values["left"],
                now=now,
                actor=self.request.user,
            )
        except (NotCreditable, TooMuch, ChangedMeanwhile, PaymentInProgress) as error:
            raise Refused(refusal(error)) from None
        self.note = note
        return issued(note)

    def back(self) -> str:
        note = getattr(self, "note", None)
        return address_of(note) if note else super().back()


class CreditLines(CreditWhole):
    form_template = "console/parts/credit_lines.html"
    title = _("Credit lines of the invoice")
    lead = _(
        "A credit note takes back what you enter, before VAT, line by line. Lines that you leave empty stay as they are."
    )

    def form(self, data: Any = None) -> DeedForm:
        return LinesForm(data, initial=self.initial(), invoice=self.invoice, left=self.left())

    def amounts(self, values: dict[str, Any]) -> dict[int, Decimal] | None:
        return {
            int(name.removeprefix(AMOUNT)): value
            for name, value in values.items()
            if name.startswith(AMOUNT) and value is not None
        }


class AcceptProposal(Deed):
    form_class = NoteForm
    title = _("Make the proposed credit note")
    lead = _("The lines become what they would have been at the corrected prices. The invoice itself stays as it is.")
    button = _("Issue the credit note")
    danger = True

    def prepare(self, pk: Any) -> None:
        proposals = CreditNoteProposal.objects.select_related("invoice__period", "organization")
        self.proposal = get_object_or_404(proposals, pk=pk)

    def initial(self) -> dict[str, Any]:
        return {"reason": self.proposal.reason[:200]}

    def obstacle(self) -> Obstacle | None:
        return attempt_in_the_way(self.proposal.invoice, now=timezone.now())

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        invoice = self.proposal.invoice
        try:
            amounts = amounts_of_proposal(self.proposal, left_of(invoice))
            left, plan = preview_note(
                organization_id=invoice.organization_id,
                invoice_id=invoice.pk,
                amounts=amounts,
                money_back=MoneyBack(values["money_back"]),
            )
        except (NotCreditable, TooMuch) as error:
            raise Refused(refusal(error)) from None
        return [
            (_("invoice"), invoice.number),
            (_("organization"), self.proposal.organization),
            *rows_of(invoice, left, plan),
            (_("Reason"), values["reason"]),
        ]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        try:
            self.note = accept_proposal(
                organization_id=self.proposal.organization_id,
                proposal_id=self.proposal.pk,
                money_back=MoneyBack(values["money_back"]),
                reason=values["reason"],
                now=now,
                actor=self.request.user,
            )
        except (NotCreditable, TooMuch, NotProposed, PaymentInProgress) as error:
            raise Refused(refusal(error)) from None
        return issued(self.note)

    def back(self) -> str:
        return address_of(getattr(self, "note", self.proposal))


CHANGED = _("Somebody made a credit note on this invoice in the meantime. Please look at it again.")


def refusal(error: Exception) -> str:
    """Why no note can be made, for the operator."""
    if isinstance(error, TooMuch) and error.position is not None:
        return gettext("Line %(number)s: enter a whole amount above zero, and no more than is left.") % {
            "number": error.position
        }
    if isinstance(error, TooMuch):
        return gettext("Enter whole amounts above zero, and for no line more than is left of it.")
    if isinstance(error, PaymentInProgress):
        return gettext("The invoice is being paid right now.")
    if isinstance(error, NotProposed):
        return gettext("The proposal was accepted or superseded already.")
    if isinstance(error, ChangedMeanwhile):
        return str(CHANGED)
    if isinstance(error, Outdated):
        return gettext(
            "Calls of the month were taken back after this was proposed. Have the month's prices looked at again: the new proposal "
            "leaves them out."
        )
    if isinstance(error, WrittenOff):
        return gettext(
            "The invoice was written off, so nothing is owed that a note could take off. Record the customer's payment first, if "
            "it comes in; once the invoice is paid, it can be credited and the money sent back."
        )
    return gettext("Nothing is left of this invoice to be credited, or it is neither open nor paid.")


def rows_of(invoice: Invoice, left: Left, plan: Plan) -> list[Row]:
    """What the note takes back of each line, and where the money goes."""
    names = {row.line.pk: f"{row.line.position}. {line_label(row.line)}" for row in left.lines}
    ways = (
        (_("Less to pay"), plan.applied),
        (_("Becomes credit"), plan.to_credit),
        (_("Is sent back"), plan.to_refund),
        (_("Becomes credit again"), plan.credit_returned),
    )
    lines: list[Row] = [(names[line_id], money(amount, invoice.currency)) for line_id, amount in plan.lines.items()]
    if len(lines) > MOST_LINES:
        lines = [(_("Lines"), gettext("%(count)s lines") % {"count": len(lines)})]
    if left.taken_back:
        lines.append((_("Taken back by later months already"), money(left.taken_back, invoice.currency)))
    return [
        *lines,
        (_("Supply value"), money(plan.subtotal, invoice.currency)),
        (_("VAT"), money(plan.tax, invoice.currency)),
        (_("Credited"), money(plan.total, invoice.currency)),
        *((label, money(amount, invoice.currency)) for label, amount in ways if amount),
    ]


def issued(note: CreditNote) -> str:
    return gettext("Credit note %(number)s is issued.") % {"number": note.number}


def credit_links(invoice: Invoice) -> list[tuple[Any, str]]:
    """The deeds by which something of the invoice can be taken back."""
    left = left_of(invoice)
    if invoice.status not in (Invoice.Status.OPEN, Invoice.Status.PAID) or left.subtotal <= 0:
        return []
    return [
        (_("Credit the whole invoice"), reverse("admin:credit_invoice", args=[invoice.pk])),
        (_("Credit lines of the invoice"), reverse("admin:credit_lines", args=[invoice.pk])),
    ]


add_deed("invoices/<uuid:pk>/credit/", CreditWhole, name="credit_invoice")
add_deed("invoices/<uuid:pk>/credit-lines/", CreditLines, name="credit_lines")
add_deed("credit-note-proposals/<uuid:pk>/accept/", AcceptProposal, name="accept_proposal")
