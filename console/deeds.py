"""How an operator changes something: a form, a page that says what it will do, then the process function, audited.

Nothing is kept between the steps but the form's own values, so going back or reloading is harmless.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.views import View
from unfold.widgets import (
    CHECKBOX_CLASSES,
    INPUT_CLASSES,
    SELECT_CLASSES,
    TEXTAREA_CLASSES,
    UnfoldAdminCheckboxSelectMultipleWidget,
)

from console.site import site

Row = tuple[Any, Any]
"""A label and a value, of what is going to happen."""


class Refused(Exception):
    """The deed cannot be done; the message tells the operator why, in their language."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """Why a deed cannot be done yet, and the deed that comes first: its label and address."""

    text: Any
    facts: Sequence[Row] = ()
    label: Any
    url: str


LOOKS = {
    forms.Select: SELECT_CLASSES,
    forms.Textarea: TEXTAREA_CLASSES,
    forms.CheckboxInput: [*CHECKBOX_CLASSES, "check"],
    UnfoldAdminCheckboxSelectMultipleWidget: CHECKBOX_CLASSES,
}


class DeedForm(forms.Form):
    """A form in the console's looks."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.label = field.label and capfirst(field.label)
            field.widget.attrs.setdefault("class", " ".join(LOOKS.get(type(field.widget), INPUT_CLASSES)))


class MomentInput(forms.DateTimeInput):
    """The browser's own picker of a day and a time."""

    input_type = "datetime-local"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%dT%H:%M")


class DayInput(forms.DateInput):
    input_type = "date"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%d")


class FileChoice(forms.FileInput):
    """The browser's own choice of a file. Unfold's script writes the file's name into the first text field that it finds near by,
    whatever that is for; so it is given one of its own.
    """

    def render(self, *args: Any, **kwargs: Any) -> SafeString:
        given = super().render(*args, **kwargs)
        return format_html('<span><span>{}</span><input type="text" hidden disabled></span>', given)


class Deed(View):
    """One action. A subclass says what it is called, what it asks, what it will do, and does it."""

    form_class: type[DeedForm] = DeedForm
    title: Any
    lead: Any = ""
    """What this is, in a sentence or two."""
    button: Any
    danger = False
    form_template = ""
    """What is shown in place of the plain list of fields, where there are too many of them for that."""
    review_template = ""
    """What is shown below the facts of the review, with `preview`."""

    def initial(self) -> dict[str, Any]:
        return {}

    def prepare(self, **kwargs: Any) -> None:
        """Look up the row that the address names. Raises Http404."""

    def form(self, data: Any = None) -> DeedForm:
        return self.form_class(data, initial=self.initial())

    def review(self, values: dict[str, Any], *, now: datetime) -> Sequence[Row]:
        """What will happen, for reading before it does. Raises Refused."""
        raise NotImplementedError

    def preview(self, values: dict[str, Any], *, now: datetime) -> Any:
        """What `review_template` shows."""
        return None

    def do(self, values: dict[str, Any], *, now: datetime) -> Any:
        """Do it and return what happened, in words. Raises Refused."""
        raise NotImplementedError

    def finish(self, outcome: Any) -> HttpResponse:
        """Say what `do` returned, where one goes afterwards."""
        messages.success(self.request, str(outcome))
        return redirect(self.back())

    def back(self) -> str:
        """Where to go afterwards."""
        raise NotImplementedError

    def obstacle(self) -> Obstacle | None:
        """What has to be done first; while there is something, the form is not shown."""
        return None

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        self.prepare(**kwargs)

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return self.show(self.form())

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        form, now = self.form(request.POST), timezone.now()
        if not form.is_valid() or "edit" in request.POST:
            return self.show(form)
        try:
            if "confirm" in request.POST:
                return self.finish(self.do(form.cleaned_data, now=now))
            review = self.review(form.cleaned_data, now=now)
            return self.show(form, review=review, preview=self.preview(form.cleaned_data, now=now))
        except Refused as refusal:
            form.add_error(None, str(refusal))
            return self.show(form)

    def show(self, form: DeedForm, **context: Any) -> HttpResponse:
        status = 422 if form.errors else 200
        response = site.render(self.request, "console/deed.html", title=self.title, deed=self, form=form, **context)
        response.status_code = status
        return response


def add_deed(address: str, deed: type[Deed], *, name: str) -> None:
    """Put a deed on the site, under `do/`."""
    site.pages.append(path(f"do/{address}", site.admin_view(deed.as_view()), name=name))
