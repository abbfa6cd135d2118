"""The check that every text exists in Korean: what it finds, what it complains about."""

import pytest
from babel.messages import Catalog

from config.launch.check_translations import Text, problem_with, texts_of, texts_of_template


def test_finds_texts_in_python() -> None:
    source = 'x = _("Total")\ny = ngettext("%(count)s key", "%(count)s keys", 2)\nz = pgettext("noun", "Bill")\n'
    assert list(texts_of(source, place="a.py")) == [
        Text(None, ("Total",), "a.py:1"),
        Text(None, ("%(count)s key", "%(count)s keys"), "a.py:2"),
        Text("noun", ("Bill",), "a.py:3"),
    ]


def test_finds_texts_in_templates() -> None:
    source = (
        "{% load i18n %}\n<p>{% trans 'Total' %}</p>\n{% blocktrans with name=x %}Hello {{ name }}{% endblocktrans %}\n"
    )
    assert [text.forms[0] for text in texts_of_template(source, place="a.html")] == ["Total", "Hello %(name)s"]


@pytest.mark.parametrize(
    ("korean", "flags", "problem"),
    [
        ("%(count)s개", [], None),
        ("", [], "empty in Korean"),
        ("%(count)s개", ["fuzzy"], "marked fuzzy"),
        ("개", [], "other placeholders in Korean"),
        ("%(number)s개", [], "other placeholders in Korean"),
    ],
)
def test_judges_a_translation(korean: str, flags: list[str], problem: str | None) -> None:
    catalog = Catalog(locale="ko")
    entry = catalog.add("%(count)s items", korean, flags=flags)
    assert problem_with(Text(None, ("%(count)s items",), "a.py:1"), entry) == problem


def test_misses_what_is_not_there() -> None:
    assert problem_with(Text(None, ("Total",), "a.py:1"), None) == "not in the Korean catalogue"


def test_a_per_cent_sign_is_no_placeholder() -> None:
    entry = Catalog(locale="ko").add("VAT (10%%)", "부가세(10%%)")
    assert problem_with(Text(None, ("VAT (10%%)",), "a.html:1"), entry) is None
