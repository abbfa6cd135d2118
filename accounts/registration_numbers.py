"""사업자등록번호: the ten digits of a Korean business and their check digit (reference: the National Tax Service's rule)."""

import re

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

WEIGHTS = (1, 3, 7, 1, 3, 7, 1, 3, 5)


class InvalidRegistrationNumber(ValueError):
    """Not ten digits, or the check digit does not fit. The sum does not prove that the business exists."""


class NotTenDigits(InvalidRegistrationNumber):
    """Too few, too many, or other signs."""


class CheckDigitDiffers(InvalidRegistrationNumber):
    """Ten digits of which one is wrong, or two are swapped."""


def normalize_registration_number(text: str) -> str:
    """`text` as 000-00-00000. Raises NotTenDigits, CheckDigitDiffers."""
    digits = re.sub(r"[\s-]", "", text)
    if not re.fullmatch(r"[0-9]{10}", digits):
        raise NotTenDigits("A business registration number has ten digits: 000-00-00000.")
    if digits == "0000000000" or not _fits(digits):
        raise CheckDigitDiffers("This business registration number is not valid: please check its digits.")
    return f"{digits[:3]}-{digits[3:5]}-{digits[5:]}"


def _fits(digits: str) -> bool:
    numbers = [int(digit) for digit in digits]
    total = sum(number * weight for number, weight in zip(numbers, WEIGHTS, strict=False)) + numbers[8] * 5 // 10
    return (10 - total % 10) % 10 == numbers[9]


def validate_registration_number(text: str) -> None:
    """For forms and serializers: the same rule, its message translated."""
    try:
        normalize_registration_number(text)
    except NotTenDigits:
        raise ValidationError(_("A business registration number has ten digits: 000-00-00000.")) from None
    except CheckDigitDiffers:
        raise ValidationError(
            _("The check digit does not fit. Please compare the number with the certificate.")
        ) from None
