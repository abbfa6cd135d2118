"""The appendix of an invoice: by model, key and day what was used, each table adding up to what usage was charged at."""

from datetime import timedelta
from decimal import Decimal

import pytest

from accounts.tenancy import tenant_scope
from billing import documents
from billing.models import Invoice, InvoiceLine
from billing.papers.usage_appendix import usage_appendix
from pricing.tokens import TokenUsage
from tests import stories
from tests.billing.collecting import AFTER, OCTOBER, meet_the_debtors, open_invoice
from tests.billing.papers import pages, squeezed
from tests.stories import Cast, use

ODD = TokenUsage(input_tokens=33_333, cache_read_tokens=7, output_tokens=11_111, reasoning_tokens=501)


@pytest.fixture
def cast(db: None) -> Cast:
    return meet_the_debtors()


@pytest.fixture
def invoice(cast: Cast) -> Invoice:
    """Three models, three keys of which two have one name, calls without a key, eleven days, a late call of September."""
    acme, before = cast.acme.organization, OCTOBER - timedelta(days=4)
    for slug in ("vendor/second", "vendor/third"):
        stories.make_model(slug, now=before, pricing={"prompt": "0.00000123", "completion": "0.00000456"})
    keys = [stories.make_key(acme, now=before, name=name)[0] for name in ("Batch", "Batch", "챗봇")]
    for number in range(33):
        key = keys[number % 4].pk if number % 4 < 3 else None
        model = (stories.DEVSTRAL, "vendor/second", "vendor/third")[number % 3]
        use(acme, at=OCTOBER + timedelta(days=number % 11), api_key_id=key, model=model, usage=ODD)
    return open_invoice(cast.acme)


def money(text: str) -> Decimal:
    return Decimal(text.lstrip("₩").replace(",", ""))


def tables(invoice: Invoice) -> list[dict[str, list[list[str]]]]:
    with tenant_scope([invoice.organization_id]):
        found = Invoice.objects.select_related("period").get(pk=invoice.pk)
        return usage_appendix(found, list(InvoiceLine.objects.filter(invoice=found)))


def test_each_table_adds_up_to_the_supply_value(invoice: Invoice) -> None:
    for table in tables(invoice):
        *_names, amount = table["total"]
        assert sum(money(row[-1]) for row in table["rows"]) == money(amount) == invoice.subtotal  # type: ignore[arg-type]
        for column in (1, 2, 3):
            counts = [int(row[column].replace(",", "")) for row in table["rows"]]
            assert f"{sum(counts):,}" == table["total"][column]
    assert [table["total"][1:4] for table in tables(invoice)] == [["34", "101,100,220", "366,663"]] * 3


def test_models_have_the_amounts_of_their_lines(invoice: Invoice) -> None:
    models = {row[0]: money(row[-1]) for row in tables(invoice)[0]["rows"]}
    with tenant_scope([invoice.organization_id]):
        lines = list(InvoiceLine.objects.filter(invoice=invoice))
    assert models == {name: sum(line.amount for line in lines if line.model == name) for name in models}
    assert len(models) == 3


def test_keys_of_one_name_are_told_apart_and_calls_without_one_stand_last(invoice: Invoice) -> None:
    names = [row[0] for row in tables(invoice)[1]["rows"]]
    assert len(names) == len(set(names)) == 4
    assert [name.startswith("Batch (번호 ") for name in names] == [True, True, False, False]
    assert names[2:] == ["챗봇", "API 키 없이 보고된 이용"]
    assert [row[0] for row in tables(invoice)[2]["rows"]][:2] == ["2026.10.20", "2026.10.21"]


def test_the_pdf_prints_every_figure_of_it(invoice: Invoice) -> None:
    said = "".join(pages(documents.open_document(invoice, now=AFTER)))
    for table in tables(invoice):
        assert squeezed(table["title"] + "".join(table["columns"])) in said  # type: ignore[operator, arg-type]
        for row in (*table["rows"], table["total"]):
            assert squeezed("".join(row)) in said, row
