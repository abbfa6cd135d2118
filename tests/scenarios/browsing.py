"""A browser without scripts: follows links and submits the forms it sees, so that a story needs no view's name."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import requests


@dataclass
class Form:
    """A form as it stands on the page."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


class _FormReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(given.get("action", ""), given.get("method", "get").lower()))
        unchecked = given.get("type") in ("checkbox", "radio") and "checked" not in given
        if tag in ("input", "textarea", "select") and self.forms and given.get("name") and not unchecked:
            self.forms[-1].fields[given["name"]] = given.get("value", "")


class Browser:
    """One visitor's session."""

    def __init__(self, *, language: str = "ko") -> None:
        self._session = requests.Session()
        self._session.headers["Accept-Language"] = language
        self.url, self.text, self.status = "", "", 0

    def open(self, url: str) -> "Browser":
        self._take(self._session.get(urljoin(self.url, url), timeout=20))
        return self

    def submit(self, *, holding: str, **values: str) -> "Browser":
        """Fill in and send the form that has a field, or an action, with `holding` in its name."""
        reader = _FormReader()
        reader.feed(self.text)
        form = next(form for form in reader.forms if holding in form.action or holding in form.fields)
        target = urljoin(self.url, form.action)
        sent = form.fields | values
        headers = {"Referer": self.url}
        if form.method == "post":
            self._take(self._session.post(target, data=sent, headers=headers, timeout=20))
        else:
            self._take(self._session.get(target, params=sent, headers=headers, timeout=20))
        return self

    def _take(self, answer: requests.Response) -> None:
        self.url, self.text, self.status = answer.url, answer.text, answer.status_code
