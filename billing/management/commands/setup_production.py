"""`manage.py setup_production`: ask what a company must tell before it can invoice – seller, bank, series, first operator."""

import getpass
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_email
from django.utils import timezone

from accounts.models import User
from accounts.operators import create_operator
from accounts.registration_numbers import InvalidRegistrationNumber, normalize_registration_number
from billing.models import InvoiceSeries, Seller
from billing.sellers import DEFAULT_PREFIX, set_seller

QUESTIONS = (
    ("legal_name", "Company name (상호)", True),
    ("legal_name_en", "Company name in English", False),
    ("registration_number", "Business registration number (사업자등록번호, 000-00-00000)", True),
    ("representative", "Representative (대표자)", True),
    ("address", "Address (주소)", True),
    ("address_en", "Address in English", False),
    ("business_type", "Business type (업태)", False),
    ("business_item", "Business item (종목)", False),
    ("mail_order_number", "Mail-order registration (통신판매업신고)", False),
    ("email", "E-mail address on invoices", True),
    ("phone", "Phone number", False),
    ("bank_name", "Bank (은행)", True),
    ("bank_account", "Account number (계좌번호)", True),
    ("bank_holder", "Account holder (예금주)", True),
)


class Command(BaseCommand):
    help = "Set up the seller, the invoice series and the first operator. Asks for what is not given as an option."

    def add_arguments(self, parser: ArgumentParser) -> None:
        for name, question, _required in QUESTIONS:
            parser.add_argument(f"--{name.replace('_', '-')}", dest=name, help=question)
        parser.add_argument("--payment-days", type=int, default=14, help="days until an invoice is due")
        parser.add_argument("--series", default=DEFAULT_PREFIX, help="prefix of the invoice numbers")
        parser.add_argument("--operator-email", help="e-mail address of the first operator")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        details: dict[str, Any] = {
            name: self._answer(name, question, required, options) for name, question, required in QUESTIONS
        }
        set_seller(now=now, series_prefix=options["series"], payment_days=options["payment_days"], **details)
        self.stdout.write(
            f"Seller set: {details['legal_name']}. {Seller.objects.using('system').count()} version(s) on record."
        )
        series = InvoiceSeries.objects.using("system").get(credit_notes_of=None)
        self.stdout.write(f"Invoice series: {series.prefix}-{series.next_number:06d} comes next.")
        if not User.objects.filter(is_staff=True).exists():
            self._make_operator(options)

    def _answer(self, name: str, question: str, required: bool, options: dict[str, Any]) -> str:
        given = options[name]
        while True:
            answer = (given if given is not None else input(f"{question}{'' if required else ' (optional)'}: ")).strip()
            try:
                return _checked(name, answer, required)
            except (InvalidRegistrationNumber, ValidationError, ValueError) as error:
                if given is not None:
                    raise CommandError(f"--{name.replace('_', '-')}: {_text(error)}") from None
                self.stderr.write(_text(error))

    def _make_operator(self, options: dict[str, Any]) -> None:
        email = options["operator_email"] or input("E-mail address of the first operator: ").strip()
        password = getpass.getpass("Password of the operator: ")
        try:
            validate_email(email)
            validate_password(password)
        except ValidationError as error:
            raise CommandError(_text(error)) from None
        create_operator(email=email, password=password, now=timezone.now())
        self.stdout.write(f"Operator {email} may sign in to the console and must set up a second factor there.")


def _checked(name: str, answer: str, required: bool) -> str:
    if required and not answer:
        raise ValueError("an answer is needed")
    if name == "registration_number":
        return normalize_registration_number(answer)
    if name == "email":
        validate_email(answer)
    return answer


def _text(error: Exception) -> str:
    return " ".join(error.messages) if isinstance(error, ValidationError) else str(error)
