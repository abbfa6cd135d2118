"""Money on our bank account: what waits for a decision, with whose it may be, and what was decided."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe

from billing.bank.debtor_index import DebtorIndex
from billing.bank.deposit_decisions import AlreadyDecided, NoLongerFits, OtherCurrency, match_deposit
from billing.bank.taken_back import still_matched
from billing.bank.transfer_matching import Evidence, Suggestion, debtors, suggestions
from billing.models.deposits import BankDeposit, DepositDecision, DepositPart, DepositTakenBack
from console.deeds import DeedForm
from console.figures import money
from console.paging import page_of, pages, query_with
from console.site import site
from pricing.plain_text import plain

WORDS: dict[Evidence, Promise] = {
    Evidence.EXACT: _("the exact amount"),
    Evidence.EXACT_SUM: _("the exact sum of several invoices"),
    Evidence.PART: _("a part of what is owed"),
    Evidence.MORE: _("more than is owed"),
    Evidence.INVOICE_NUMBER: _("names the invoice"),
    Evidence.ALIAS: _("has paid under this name before"),
    Evidence.NAME: _("the same name"),
    Evidence.REPRESENTATIVE: _("the representative's name"),
    Evidence.SIMILAR: _("a similar name"),
    Evidence.TAKEN_BACK: _("the bank took it back"),
}
WAITING, MATCHED, ASIDE, TAKEN_BACK = "", "matched", "aside", "taken-back"
TABS = (
    (WAITING, _("Waiting")),
    (MATCHED, _("Matched")),
    (ASIDE, _("Set aside")),
    (TAKEN_BACK, _("Taken back by the bank")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A suggestion as it is shown: `pays` names each invoice and what it gets."""

    suggestion: Suggestion
    plan: str
    because: str
    pays: list[tuple[str, str]]
    credit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositRow:
    """A deposit with what may become of it, or what has."""

    deposit: BankDeposit
    proposals: Sequence[Proposal] = ()
    decision: DepositDecision | None = None
    undone: DepositDecision | None = None
    parts: Sequence[DepositPart] = ()
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenBackRow:
    """A line by which the bank took a deposit back, and the match that is to be undone, if it has paid."""

    deposit: DepositTakenBack
    to_undo: DepositDecision | None


class SearchForm(DeedForm):
    q = forms.CharField(label=_("Payer or amount"), required=False, max_length=100)


@require_safe
def deposits(request: HttpRequest) -> HttpResponse:
    """What waits, or with `?state=` what was matched or set aside; `?q=` looks for a payer or an amount."""
    state, wanted = request.GET.get("state", ""), request.GET.get("q", "").strip()
    rows: QuerySet[Any] = DepositTakenBack.objects.all() if state == TAKEN_BACK else in_state(state)
    if wanted:
        amount = wanted.replace(",", "")
        by_amount = Q(amount=amount) if amount.isascii() and amount.isdecimal() and len(amount) < 16 else Q(pk=None)
        rows = rows.filter(Q(payer__icontains=wanted) | Q(memo__icontains=wanted) | by_amount)
    page = page_of(request, rows.order_by("-at", "-pk"))
    context = {
        "state": state,
        "q": wanted,
        "search": SearchForm({"q": wanted}),
        "tabs": [(value, label, query_with(request, state=value or None, page=None)) for value, label in TABS],
        "rows": SHOWN.get(state, decided_rows)(page.object_list),
        "deeds": [{"label": _("Import a bank statement"), "url": reverse("admin:import_statement")}],
        **pages(request, page, name="page"),
    }
    return site.render(request, "console/deposits.html", title=_("Deposits"), **context)


def in_state(state: str) -> QuerySet[BankDeposit]:
    if state == WAITING:
        return BankDeposit.objects.undecided()
    standing = DepositDecision.objects.filter(undone_at=None)
    is_aside = Q(kind=DepositDecision.Kind.SET_ASIDE)
    wanted = standing.filter(is_aside) if state == ASIDE else standing.exclude(is_aside)
    return BankDeposit.objects.filter(pk__in=wanted.values("deposit_id"))


def waiting_rows(found: Iterable[BankDeposit]) -> list[DepositRow]:
    """Deposits with whose they may be. Those of a statement that is being looked at need not be stored."""
    listed = list(found)
    undone = DepositDecision.objects.filter(deposit__in=[row.pk for row in listed if row.pk]).exclude(undone_at=None)
    undone_by_deposit = {row.deposit_id: row for row in undone.select_related("organization").order_by("undone_at")}
    known = {currency: DebtorIndex(debtors(currency)) for currency in {deposit.currency for deposit in listed}}
    return [
        DepositRow(
            deposit=deposit,
            proposals=[proposal(one, deposit.currency) for one in suggestions(deposit, known[deposit.currency])],
            undone=undone_by_deposit.get(deposit.pk),
        )
        for deposit in listed
    ]


def proposal(suggestion: Suggestion, currency: str) -> Proposal:
    numbers = {owed.invoice_id: owed.number for owed in suggestion.debtor.invoices}
    return Proposal(
        suggestion=suggestion,
        plan=shown_plan(suggestion),
        because=in_words(suggestion.because),
        pays=[(numbers[share.invoice_id], money(share.amount, currency)) for share in suggestion.shares],
        credit=money(suggestion.credit, currency) if suggestion.credit else "",
    )


def decided_rows(found: Iterable[BankDeposit]) -> list[DepositRow]:
    listed = list(found)
    decisions = DepositDecision.objects.filter(deposit__in=listed, undone_at=None)
    decisions = decisions.select_related("organization", "decided_by")
    by_deposit = {decision.deposit_id: decision for decision in decisions}
    parts: dict[int, list[DepositPart]] = {}
    for part in (
        DepositPart.objects.filter(decision__deposit__in=listed).select_related("payment__invoice").order_by("pk")
    ):
        parts.setdefault(part.decision_id, []).append(part)
    return [
        DepositRow(
            deposit=deposit,
            decision=by_deposit[deposit.pk],
            parts=parts.get(by_deposit[deposit.pk].pk, []),
            because=in_words(by_deposit[deposit.pk].because),
        )
        for deposit in listed
    ]


def taken_back_rows(found: Iterable[DepositTakenBack]) -> list[TakenBackRow]:
    listed = list(found)
    paid = {decision.deposit_id: decision for decision in still_matched().select_related("organization")}
    return [TakenBackRow(deposit=row, to_undo=paid.get(row.deposit_id or 0)) for row in listed]


SHOWN: Mapping[str, Callable[[Iterable[Any]], Sequence[Any]]] = {WAITING: waiting_rows, TAKEN_BACK: taken_back_rows}


def in_words(because: Iterable[str]) -> str:
    return ", ".join(str(WORDS[Evidence(one)]) for one in because)


def shown_plan(suggestion: Suggestion) -> str:
    """What was shown to whoever clicks, so that nothing else is done than what they read."""
    return " ".join(f"{share.invoice_id}={plain(share.amount)}" for share in suggestion.shares)


@require_POST
def confirm(request: HttpRequest, pk: int, organization: int) -> HttpResponse:
    """One click on a suggestion: the deposit pays as it said."""
    deposit = get_object_or_404(BankDeposit, pk=pk)
    known = DebtorIndex(debtors(deposit.currency, only=organization))
    wanted = next((one for one in suggestions(deposit, known) if shown_plan(one) == request.POST.get("plan")), None)
    try:
        if wanted is None:
            raise NoLongerFits
        match_deposit(
            deposit=deposit,
            organization_id=organization,
            first=wanted.first,
            kind=DepositDecision.Kind.CONFIRMED,
            because=wanted.because,
            expected=wanted.shares,
            now=timezone.now(),
            actor=request.user,
        )
    except (AlreadyDecided, NoLongerFits, OtherCurrency) as refusal:
        messages.error(request, REFUSALS[type(refusal)])
    else:
        messages.success(
            request,
            gettext("The deposit is matched: %(payer)s → %(organization)s")
            % {"payer": deposit.payer, "organization": wanted.debtor.name},
        )
    return redirect("admin:deposits")


REFUSALS: dict[type[Exception], Promise] = {
    AlreadyDecided: _("What becomes of this deposit has been decided meanwhile."),
    NoLongerFits: _("What the customer owes has changed meanwhile. Please look again."),
    OtherCurrency: _("This customer is billed in another currency and owes nothing in this one."),
}


site.pages += [
    path("deposits/", site.admin_view(deposits), name="deposits"),
    path("deposits/<int:pk>/confirm/<int:organization>/", site.admin_view(confirm), name="confirm_deposit"),
]
