"""What Django says of a form is as polite in Korean as what we say."""

from decimal import Decimal
from typing import Any

import pytest
from django import forms
from django.core.exceptions import ValidationError
from django.utils import translation

AMOUNT = forms.DecimalField(min_value=Decimal(2), max_value=Decimal(900), max_digits=4, decimal_places=2)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (AMOUNT, ""),
        (AMOUNT, "0"),
        (AMOUNT, "1000"),
        (AMOUNT, "many"),
        (AMOUNT, "2.345"),
        (AMOUNT, "100.25"),
        (forms.IntegerField(), "1.5"),
        (forms.CharField(max_length=2), "long"),
        (forms.CharField(min_length=9), "short"),
        (forms.EmailField(), "nobody"),
        (forms.URLField(assume_scheme="https"), "no address"),
        (forms.DateField(), "some day"),
        (forms.DateTimeField(), "some time"),
        (forms.ChoiceField(choices=[("a", "A")]), "b"),
        (forms.MultipleChoiceField(choices=[("a", "A")]), "b"),
    ],
    ids=[
        *("missing", "too small", "too large", "no number", "decimals", "digits", "no whole number", "too long"),
        *("too short", "no mail", "no address", "no day", "no moment", "no choice", "no list"),
    ],
)
def test_errors_are_formal_korean(field: forms.Field, value: Any) -> None:
    with translation.override("ko"), pytest.raises(ValidationError) as fault:
        field.clean(value)
    with translation.override("ko"):
        for message in fault.value.messages:
            assert "요" not in message and any("가" <= sign <= "힣" for sign in message), message
