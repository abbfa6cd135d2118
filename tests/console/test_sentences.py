"""Alarms and refused price lists in the operator's language."""

import re
from datetime import datetime

import pytest
from django.conf import settings
from django.test import Client
from django.utils import translation

from accounts.alarms import raise_alarm
from billing.models import OutboxMail
from console.alarms import KINDS
from console.sentences import SENTENCES, in_sentences
from tests.catalog.test_feed_importing import BAD


@pytest.mark.parametrize(
    ("text", "korean"),
    [
        (
            "The price list of OpenRouter was not imported; the old prices stay in force. It is empty.",
            "OpenRouter 가격표를 가져오지 못했으며, 기존 가격을 그대로 적용합니다. 비어 있습니다.",
        ),
        ("openrouter.ai answered 500 instead of a list.", "openrouter.ai에서 가격표 대신 500 응답을 받았습니다."),
        (
            "2 price(s) of OpenRouter wait for a decision: a/b, c/d",
            "OpenRouter 가격 2건이 결정을 기다립니다. (a/b, c/d)",
        ),
        (
            "From 2026-12-01 (Asia/Seoul) no exchange rate will hold: there is none. Publish one before.",
            "2026-12-01(Asia/Seoul)부터 적용할 환율이 없습니다. 등록된 환율이 하나도 없습니다. 그 전에 환율을 등록하십시오.",
        ),
        (
            "The refund of 1100 KRW of CN-000001 failed: expired_or_canceled_card",
            "CN-000001에 대한 1100 KRW 환불이 실패했습니다: expired_or_canceled_card",
        ),
        ("1100 KRW of CN-000001 were refunded twice", "CN-000001에 대해 1100 KRW이(가) 두 번 환불되었습니다"),
        (
            "dispute dp_1 of 3300 KRW at stripe: needs_response",
            "stripe의 카드 이의 제기 dp_1 (3300 KRW): needs_response",
        ),
        (
            "refund re_1 of 3300 KRW at stripe: succeeded",
            "stripe에서 직접 처리된 환불 re_1 (3300 KRW): succeeded",
        ),
        ("A sentence of nobody's. It is empty.", "A sentence of nobody's. 비어 있습니다."),
        ("", ""),
    ],
    ids=[
        "a refused list",
        "an answer",
        "quarantine",
        "exchange rates",
        "a refund",
        "twice",
        "a dispute",
        "a foreign refund",
        "one that is not ours",
        "nothing",
    ],
)
def test_each_sentence_of_ours_is_told_in_korean(text: str, korean: str) -> None:
    with translation.override("ko"):
        assert in_sentences(text) == korean
    with translation.override("en"):
        assert in_sentences(text)[:8].casefold() == text[:8].casefold() or "wait for" in text


def test_every_translation_keeps_the_values(db: None) -> None:
    with translation.override("ko"):
        for pattern, words in SENTENCES:
            values = {name: f"<{name}>" for name in pattern.groupindex}
            assert all(value in str(words) % values for value in values.values()), pattern.pattern


def test_most_refusals_of_lists_are_told_in_korean() -> None:
    with translation.override("ko"):
        told = [in_sentences(f"{reason}") != reason for _body, reason in BAD.values() if reason.endswith(".")]
    assert sum(told) >= len(told) * 2 // 3


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_of_alarm_says_what_is_wrong_and_what_to_do(operator: Client, now: datetime, kind: str) -> None:
    raise_alarm(kind=kind, subject="somewhere", summary="It is empty.", now=now)
    operator.cookies["invoicedream_language"] = "ko"
    home = operator.get("/")
    [row] = home.context["alarms"]
    text, detail = home.content.decode(), operator.get(row["url"]).content.decode()
    with translation.override("ko"):
        for words in (str(KINDS[kind].headline), str(KINDS[kind].remedy)):
            assert words in text and words in detail
    assert "비어 있습니다." in text and "It is empty." not in text


def test_every_alarm_that_is_raised_has_a_kind() -> None:
    raised = set()
    for app in ("billing", "catalog", "gateway", "ledger", "metering"):
        for file in (settings.BASE_DIR / app).rglob("*.py"):
            text = file.read_text()
            names = set(re.findall(r"raise_alarm\(\s*kind=(?:\w+\.)?(\w+)", text))
            for left, right in re.findall(r"^([A-Z, ]+) = (\".+)$", text, re.MULTILINE):
                values = zip(left.split(", "), re.findall(r'"(\w+)"', right), strict=False)
                raised |= {value for name, value in values if name in names}
    assert raised >= {"archive", "price_quarantine", "upstream_bill"}, "so they are found"
    assert raised <= set(KINDS)


def test_the_mail_about_money_received_is_no_receipt_of_a_request() -> None:
    with translation.override("ko"):
        assert OutboxMail.Kind.RECEIPT.label == "영수증"
