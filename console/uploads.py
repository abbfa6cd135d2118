"""Deeds that begin with a file: it is read once, and what is confirmed later are its bytes, which travel with the form."""

import base64
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from console.deeds import Deed, DeedForm, FileChoice


class FileRefused(Exception):
    """A chosen file that is not even worth a review; the message says why, in the operator's language."""


class UploadForm(DeedForm):
    """A file, or the `content` and `name` of one that was chosen before."""

    content = forms.CharField(required=False, widget=forms.HiddenInput)
    name = forms.CharField(required=False, max_length=200, widget=forms.HiddenInput)

    def clean_content(self) -> bytes:
        try:
            return base64.b64decode(self.cleaned_data["content"], validate=True)
        except ValueError:
            return b""

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if not values.get("content") and "file" not in self.errors:
            self.add_error("file", gettext("Choose a file."))
        return values


def file_field(*, accept: str, help_text: str | Promise) -> forms.FileField:
    """The field `file` of an UploadForm, for files of these endings."""
    widget = FileChoice(attrs={"accept": accept})
    return forms.FileField(label=_("File"), required=False, help_text=help_text, widget=widget)


class UploadDeed(Deed):
    form_class: type[UploadForm]

    def check_file(self, sent: UploadedFile) -> None:
        """Raises FileRefused."""

    def form(self, data: Any = None) -> DeedForm:
        sent = self.request.FILES.get("file")
        if data is None or sent is None:
            return super().form(data)
        data = data.copy()
        data["name"], data["content"] = sent.name, ""
        try:
            self.check_file(sent)
        except FileRefused as refusal:
            form = self.form_class(data, self.request.FILES, initial=self.initial())
            form.add_error("file", str(refusal))
            return form
        data["content"] = base64.b64encode(sent.read()).decode()
        return self.form_class(data, initial=self.initial())
