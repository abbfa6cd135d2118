"""The paper of a credit note: what it takes back of which lines, and where the money goes; in both languages."""

import pytest

from accounts.models import Organization
from billing import documents
from billing.models import Document
from billing.papers.document_audit import documents_that_differ
from billing.papers.typesetting import keywords_of
from tests.billing.collecting import AFTER, House, meet_the_debtors, open_invoice
from tests.billing.correcting import TWO_LINES, note_on
from tests.billing.papers import pages, squeezed


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("ko", ["수정청구서", "CN-000001", "당초청구서번호", "INV-000001", "공급가액변동", "입력토큰100,000,000₩6,600₩600",
                "공급가액₩600", "부가세(10%)₩60", "감액합계₩660", "납부하실금액에서차감:₩660", "사유:Agreedbyphone",
                "수정세금계산서를대신하지않습니다", "220-81-62517"]),
        ("en", ["Creditnote", "CN-000001", "Changeofthesupplyvalue", "₩6,600₩600", "Lesstopay:₩660", "Reason:Agreed"]),
    ],
)  # fmt: skip
def test_it_says_what_is_taken_back_of_which_line(db: None, language: str, words: list[str]) -> None:
    cast = meet_the_debtors()
    Organization.objects.using("system").filter(pk=cast.acme.organization.pk).update(language=language)
    invoice = open_invoice(cast.acme, usage=TWO_LINES)
    house = House(cast, invoice, None)  # type: ignore[arg-type]
    note = note_on(house, {1: 600}, now=AFTER)
    content = documents.open_document(note, now=AFTER)
    [said] = pages(content)
    for word in words:
        assert squeezed(word) in said, said
    assert keywords_of(content) == ["CN-000001", "KRW 660"]
    [row] = Document.objects.using("system").filter(kind="credit_note")
    assert (row.credit_note_id, row.invoice_id, row.path.endswith("/CN-000001.pdf")) == (note.pk, None, True)
    assert documents.open_document(note, now=AFTER) == content
    assert documents_that_differ() == []
