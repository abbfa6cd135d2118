"""What mails look like on the wire."""

import email
from email import policy

import pytest
from django.core.mail import EmailMultiAlternatives

from accounts.mail_message import Mail, with_whole_subject

KOREAN = "[인보이스랩] 2026년 10월 청구서 (INV-000001)"


@pytest.mark.parametrize(
    "subject",
    [KOREAN, KOREAN * 6, "[InvoiceDream] October 2026 invoice (INV-000001)", "[InvoiceDream] invoice" * 9, "é " * 60],
    ids=["korean", "long korean", "english", "long english", "accents and blanks"],
)
def test_a_subject_begins_on_the_line_of_its_name_and_is_read_back_whole(subject: str) -> None:
    raw = Mail(subject, "x", "billing@invoicedream.example", ["owner@acme.example"]).message().as_bytes(linesep="\r\n")
    [line] = [line for line in raw.split(b"\r\n") if line.startswith(b"Subject:")]
    assert len(line) > len("Subject: ") and max(map(len, raw.split(b"\r\n"))) <= 78
    assert email.message_from_bytes(raw, policy=policy.default)["Subject"] == subject


def test_a_line_break_in_a_subject_adds_no_header() -> None:
    with pytest.raises(ValueError, match="newlines"):
        Mail("Hello\nBcc: all@acme.example", "x", "a@b.example", ["c@d.example"]).message()


def test_mails_of_accounts_are_made_so() -> None:
    made = EmailMultiAlternatives(KOREAN, "x", "a@b.example", ["c@d.example"], headers={"X-Own": "1"})
    made.attach_alternative("<p>x</p>", "text/html")
    raw = with_whole_subject(made).message().as_bytes()
    assert b"\nSubject: =?" in raw and b"X-Own: 1" in raw and b"<p>x</p>" in raw
