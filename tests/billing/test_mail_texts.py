"""What each mail says, in both languages; the layout escapes what customers wrote."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from django.urls import resolve

from accounts.invitations import cancel, find_invitation, invite
from accounts.models import Membership, Organization, Role
from accounts.tenancy import tenant_scope
from billing import delivery
from billing.mail import mails
from billing.mail.mail_texts import Letter, compose, one_line
from billing.models import Invoice, OutboxMail
from tests import stories
from tests.billing.papers import paper
from tests.stories import NOON

NOV_2 = datetime(2026, 11, 2, tzinfo=UTC)


def letter(kind: OutboxMail.Kind, *, invoice: Invoice | None = None, language: str = "ko", **context: str) -> Letter:
    invoice = invoice or paper(lines=20, credit_applied=5000)
    mail = OutboxMail(
        organization=Organization(slug="acme", name="Acme"),
        kind=kind,
        language=language,
        invoice=invoice,
        context=context,
        created_at=NOV_2,
    )
    return compose(mail)


def paid(**fields: object) -> Invoice:
    return paper(lines=20, status=Invoice.Status.PAID, **fields)  # type: ignore[arg-type]


def test_a_receipt_says_what_came_in(db: None) -> None:
    said = letter(OutboxMail.Kind.RECEIPT, invoice=paid(), amount="2260", processor="stripe", to_credit="0")
    assert said.subject == "[인보이스랩] 결제 영수증 (INV-000042)"
    for line in ("결제가 완료되었습니다.", "결제 금액: ₩2,260", "결제일: 2026년 11월 2일", "결제 수단: 신용카드"):
        assert line in said.text.splitlines()
    assert "크레딧 적립" not in said.text

    said = letter(
        OutboxMail.Kind.RECEIPT,
        invoice=paid(),
        language="en",
        amount="3000",
        processor="bank_transfer",
        to_credit="740",
    )
    for line in ("Amount paid: ₩3,000", "Payment method: Bank transfer", "Kept as credit: ₩740"):
        assert line in said.text.splitlines()


def test_a_receipt_for_a_part_says_what_is_left(db: None) -> None:
    invoice = paper(lines=20, status=Invoice.Status.OPEN)
    said = letter(OutboxMail.Kind.RECEIPT, invoice=invoice, amount="1000", processor="bank_transfer")
    assert f"미납 금액: ₩{invoice.amount_due:,.0f}" in said.text


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        ("insufficient_funds", "카드의 한도 또는 잔액이 부족합니다."),
        ("expired_card", "카드의 유효 기간이 지났습니다."),
        ("anything_else", "카드사에서 결제를 거절하였습니다."),
    ],
)
def test_a_failed_payment_says_why_and_what_to_do(failure: str, reason: str) -> None:
    said = letter(OutboxMail.Kind.PAYMENT_FAILED, amount="2260", failure=failure)
    assert said.subject == "[인보이스랩] 결제 실패 안내 (INV-000042)"
    assert f"사유: {reason}" in said.text
    assert "입금 계좌: 한빛은행 123-456-789012\n예금주: 주식회사 인보이스랩\n" in said.text
    assert "출금된 금액은 없습니다." in said.text


def test_an_invoice_paid_by_credit_asks_for_nothing() -> None:
    said = letter(OutboxMail.Kind.INVOICE, invoice=paper(credit_applied=10**9))
    assert "납부하실 금액이 없습니다." in said.text
    assert "입금 계좌" not in said.text
    assert "납부 기한" not in said.text


def test_an_invoice_of_reversals_says_that_its_total_became_credit() -> None:
    invoice = paper(lines=20, sign=-1, credit_applied=0)
    given = f"{-invoice.total:,.0f}"
    said = letter(OutboxMail.Kind.INVOICE, invoice=invoice)
    assert f"합계금액: -₩{given}\n크레딧으로 적립: ₩{given}\n" in said.text.replace("−", "-")
    assert "크레딧으로 적립하였으며, 납부하실 금액이 없습니다." in said.text
    assert "모두 결제" not in said.text and "입금 계좌" not in said.text


def test_an_invoice_of_nothing_does_not_say_that_credit_paid_it() -> None:
    said = letter(OutboxMail.Kind.INVOICE, invoice=paper(sign=0), language="en")
    assert "The total is zero. There is nothing to pay." in said.text
    assert "credit" not in said.text.lower()


def test_dollars_and_zero_rating(db: None) -> None:
    said = letter(
        OutboxMail.Kind.INVOICE, invoice=paper(lines=20, currency="USD", tax_treatment="zero_rated"), language="en"
    )
    assert "VAT: $0.00" in said.text


def test_html_escapes_what_customers_wrote_and_text_does_not() -> None:
    buyer = {"contact_name": '<script>alert("x")</script> & Söhne'}
    said = letter(OutboxMail.Kind.INVOICE, invoice=paper(buyer=buyer))
    assert "<script>" not in said.html
    assert "&lt;script&gt;" in said.html
    assert '<script>alert("x")</script> & Söhne' in said.text


def test_html_loads_nothing_from_anywhere() -> None:
    said = letter(OutboxMail.Kind.INVOICE)
    for risky in ("<img", "<link", "src=", "@import", "url("):
        assert risky not in said.html


@pytest.mark.parametrize(
    ("text", "line"),
    [("a\r\nb", "a b"), ("a\x00b\u2028c\x85d", "a b c d"), ("  a   b\t", "a b"), ("홍 길동", "홍 길동")],
)
def test_one_line(text: str, line: str) -> None:
    assert one_line(text) == line


def test_an_invitation_carries_a_token_that_the_outbox_does_not_know(db: None) -> None:
    cast = stories.meet_the_cast(now=NOON)
    organization = cast.acme.organization
    with tenant_scope([organization.pk]):
        owner = Membership.objects.get(user=cast.acme.owner)
        invitation = invite(
            organization=organization, email="lee@acme.example", role=Role.DEVELOPER, inviter=owner, now=NOON
        )
        mail = mails.enqueue_invitation(invitation, now=NOON)
        assert mails.enqueue_invitation(invitation, now=NOON).pk == mail.pk
        seen = compose(mail, without_token=True)
        assert "/invitations/••••" in seen.text and "초대" in seen.subject
        token = urlsplit(compose(mail).text.split("/invitations/")[1].split()[0]).path
        assert len(token) > 20 and token not in seen.text + seen.html
        said = compose(mail)
    assert (mail.recipient, mail.language) == ("lee@acme.example", "ko")
    assert said.subject == "[인보이스랩] Acme 조직 초대"
    for line in ("조직: Acme", "역할: 개발자", "초대한 사람: owner@acme.example", "유효 기한: 2026년 11월 29일"):
        assert line in said.text.splitlines()
    [url] = [word for word in said.text.split() if "/invitations/" in word]
    token = resolve(urlsplit(url).path).kwargs["token"]
    assert find_invitation(token, now=NOON).pk == invitation.pk
    assert token not in str(vars(mail))

    cancel(organization=organization, invitation_id=invitation.pk, actor=owner, now=NOON)
    assert (
        delivery.deliver(organization_id=organization.pk, mail_id=mail.pk, now=NOON + timedelta(minutes=1)) == "failed"
    )
    failed = OutboxMail.objects.using("system").get()
    assert (failed.attempts, failed.last_error) == (1, "The invitation ended before this mail went out.")
