"""Quotations (견적서): those that were made, and a form for another – models, volumes of a month, until when it holds."""

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_safe

from billing.models import Quotation
from billing.papers.quotations import (
    LONGEST_VALIDITY,
    USUAL_VALIDITY,
    InvalidValidity,
    Item,
    NothingToQuote,
    NotPriced,
    make_quotation,
)
from billing.rest.payments_api import ROLES_THAT_PAY
from billing.sellers import NoSeller
from billing.what_if import Volume
from catalog.models_in_memory import all_models
from dashboard.access import may, organization_page
from dashboard.compare_form import whole_number
from dashboard.compare_rows import LACKS
from dashboard.pages import page_links, page_of
from dashboard.papers import download
from dashboard.token_counts import NoTokenCount, token_count

ROWS, LONGEST = 4, 40
COUNTS = ("input", "output", "requests")


class CountField(forms.Field):
    """A count as people type it (`500,000`, `0.5M`, `50만`); nothing is none."""

    def __init__(self, *, label: Any, reads_tokens: bool) -> None:
        super().__init__(label=label, required=False, widget=forms.TextInput(attrs={"autocomplete": "off"}))
        self.read = token_count if reads_tokens else whole_number

    def to_python(self, value: Any) -> int:
        try:
            return self.read(str(value or "")[:LONGEST])
        except (NoTokenCount, ValueError) as problem:
            raise forms.ValidationError(str(problem)) from None


class QuotationForm(forms.Form):
    """Rows of a model and its volume; those without a model are left out."""

    subject = forms.CharField(label=gettext_lazy("Subject"), max_length=100, required=False)
    valid_until = forms.DateField(
        label=gettext_lazy("Valid until"), widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        models = [("", "–"), *((model.slug, f"{model.name} ({model.slug})") for model in all_models())]
        for row in range(1, ROWS + 1):
            self.fields[f"model_{row}"] = forms.ChoiceField(label=gettext_lazy("Model"), choices=models, required=False)
            self.fields[f"input_{row}"] = CountField(label=gettext_lazy("Input tokens a month"), reads_tokens=True)
            self.fields[f"output_{row}"] = CountField(label=gettext_lazy("Output tokens a month"), reads_tokens=True)
            self.fields[f"requests_{row}"] = CountField(label=gettext_lazy("Requests a month"), reads_tokens=False)

    @property
    def rows(self) -> list[list[forms.BoundField]]:
        return [[self[f"{name}_{row}"] for name in ("model", *COUNTS)] for row in range(1, ROWS + 1)]

    @property
    def items(self) -> list[Item]:
        known = {model.slug: model for model in all_models()}
        given = self.cleaned_data
        return [
            Item(
                model=known[given[f"model_{row}"]],
                volume=Volume(
                    input_tokens=given[f"input_{row}"],
                    output_tokens=given[f"output_{row}"],
                    requests=given[f"requests_{row}"],
                ),
            )
            for row in range(1, ROWS + 1)
            if given[f"model_{row}"]
        ]


@organization_page()
@require_safe
def quotations(request: HttpRequest) -> HttpResponse:
    found = Quotation.objects.for_organization(request.organization).order_by("-pk")
    page = page_of(request, found)
    context = {
        "section": "invoices",
        "quotations": page,
        "may_make": may(request, ROLES_THAT_PAY),
        "today": timezone.now().date(),
        **page_links(request, page),
    }
    return render(request, "dashboard/quotations.html", context)


@organization_page()
@require_http_methods(["GET", "HEAD", "POST"])
def new_quotation(request: HttpRequest) -> HttpResponse:
    """The address may name models and one volume for all (`?model=…&input_tokens=…`), as pages of prices link here."""
    if not may(request, ROLES_THAT_PAY):
        raise PermissionDenied(request.membership.role)
    now = timezone.now()
    form = QuotationForm(request.POST if request.method == "POST" else None, initial=_initial(request, now=now))
    if request.method == "POST" and form.is_valid():
        quotation = _make(request, form)
        if quotation is not None:
            messages.success(request, _("Quotation %(number)s is made.") % {"number": quotation.number})
            return redirect("dashboard:quotations", request.organization.slug)
    context = {"section": "invoices", "form": form, "most_days": LONGEST_VALIDITY.days}
    return render(request, "dashboard/quotation_new.html", context, status=422 if form.errors else 200)


@organization_page()
@require_safe
def quotation_pdf(request: HttpRequest, quotation_id: int) -> HttpResponse:
    found = Quotation.objects.for_organization(request.organization).filter(pk=quotation_id).first()
    if found is None:
        raise Http404(quotation_id)
    return download(request, found, back=("dashboard:quotations",))


def _make(request: HttpRequest, form: QuotationForm) -> Quotation | None:
    """None where it cannot be made: the form says why."""
    try:
        return make_quotation(
            organization=request.organization,
            items=form.items,
            valid_until=form.cleaned_data["valid_until"],
            subject=form.cleaned_data["subject"],
            actor=request.user,
            now=timezone.now(),
        )
    except NothingToQuote:
        form.add_error(None, _("Please choose a model and enter a volume."))
    except NotPriced as problem:
        form.add_error(None, f"{problem.model}: {LACKS[problem.lack]}")
    except InvalidValidity:
        form.add_error("valid_until", _("Please choose a day from today on, within a year."))
    except NoSeller:
        form.add_error(None, _("Quotations cannot be made yet: our own details are missing."))
    return None


def _initial(request: HttpRequest, *, now: Any) -> dict[str, Any]:
    asked = request.GET
    initial: dict[str, Any] = {"valid_until": (timezone.localtime(now) + USUAL_VALIDITY).date()}
    for row, slug in enumerate(asked.getlist("model")[:ROWS], start=1):
        initial[f"model_{row}"] = slug
        for name, source in zip(COUNTS, ("input_tokens", "output_tokens", "requests"), strict=True):
            initial[f"{name}_{row}"] = asked.get(source, "")[:LONGEST]
    return initial
