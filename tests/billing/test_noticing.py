"""Customers hear once of what is worth telling: limits in use or refusing, low credit, stopped keys; by mail in their language."""

import json
import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core import mail
from django.utils import translation
from pytest_django.fixtures import Settings

from accounts.api_keys import revoke_api_key
from accounts.models import Membership, Role, User
from accounts.tenancy import tenant_scope
from billing.delivery import deliver_waiting
from billing.mail.mail_texts import compose
from billing.models import Notice, OutboxMail
from billing.notifications.notice_texts import TOLD_TO_PROGRAMS, words_of
from billing.notifications.notices import set_low_credit
from billing.notifications.noticing import notice_all
from ledger import holds
from ledger.credits import grant_credit
from ledger.models import CreditGrant, KeyStop, LimitWindow
from ledger.velocity import lift_stop, stop_key
from metering.limiting import set_limit
from pricing.tokens import TokenUsage
from tests import stories
from tests.ledger.test_limits import request
from tests.stories import NOON

Kind = Notice.Kind


@pytest.fixture
def cast(db: None, settings: Settings) -> stories.Cast:
    settings.LOW_CREDIT = {"KRW": Decimal(0), "USD": Decimal(0)}
    return stories.meet_the_cast(now=NOON)


@pytest.fixture
def acme(cast: stories.Cast) -> stories.Company:
    return cast.acme


def limit(company: stories.Company, amount: str, **options: Any) -> None:
    set_limit(organization=company.organization, amount=Decimal(amount), actor=company.owner, now=NOON, **options)


def spend(company: stories.Company, millions: int, **options: Any) -> None:
    """₩72.6 a million, tax included."""
    usage = TokenUsage(input_tokens=millions * 1_000_000, output_tokens=0)
    stories.use(company.organization, at=NOON, usage=usage, **({"api_key_id": company.key.pk} | options))


def told(*, now: Any = NOON) -> list[tuple[str, Any]]:
    return [(notice.kind, notice.data.get("percent")) for notice in notice_all(now=now)]


def test_each_share_of_a_limit_is_told_once_and_only_the_highest_that_was_passed(acme: stories.Company) -> None:
    limit(acme, "726")
    spend(acme, 4)
    assert told() == []
    spend(acme, 1)
    assert told() == [(Kind.LIMIT_THRESHOLD, 50)]
    assert told() == []
    spend(acme, 5)
    assert told() == [(Kind.LIMIT_THRESHOLD, 100)], "80 was passed at once, and is no news any more"
    assert told() == []


def test_a_limit_that_is_raised_or_begins_anew_is_told_anew(acme: stories.Company) -> None:
    limit(acme, "72.6", window=LimitWindow.DAY)
    spend(acme, 1)
    assert told() == [(Kind.LIMIT_THRESHOLD, 100)]
    limit(acme, "140", window=LimitWindow.DAY)
    assert told() == [(Kind.LIMIT_THRESHOLD, 50)]
    tomorrow = NOON + timedelta(days=1)
    stories.use(acme.organization, at=tomorrow, usage=TokenUsage(input_tokens=1_000_000, output_tokens=0))
    assert told(now=tomorrow) == [(Kind.LIMIT_THRESHOLD, 50)]


def test_what_passes_at_the_end_of_a_day_is_told_after_it(acme: stories.Company) -> None:
    limit(acme, "72.6", window=LimitWindow.DAY, hard=False)
    spend(acme, 1)
    assert told(now=NOON + timedelta(hours=12, minutes=30)) == [(Kind.LIMIT_THRESHOLD, 100)]
    limit(acme, "72", window=LimitWindow.DAY, hard=False)
    assert told(now=NOON + timedelta(hours=14)) == []


def test_a_hard_limit_that_refuses_is_told_even_if_little_is_spent(acme: stories.Company) -> None:
    limit(acme, "100", api_key=acme.key)
    holds.reserve([request(acme, 101)])
    [notice] = notice_all(now=NOON)
    assert (notice.kind, notice.data["left"], notice.data["api_key"]["prefix"]) == (
        Kind.LIMIT_REFUSING,
        "100",
        acme.key.prefix,
    )
    holds.reserve([request(acme, 101)])
    assert told() == []


def test_a_hard_limit_that_is_used_up_says_it_once(acme: stories.Company) -> None:
    limit(acme, "72.6")
    spend(acme, 1)
    holds.reserve([request(acme, 1)])
    assert told() == [(Kind.LIMIT_THRESHOLD, 100)]
    assert told() == []


def test_owners_admins_and_the_member_concerned_get_mail_in_their_language(cast: stories.Cast) -> None:
    acme = cast.acme
    admin = stories.make_member(acme.organization, Role.ADMIN, now=NOON)
    developer = stories.make_member(acme.organization, Role.DEVELOPER, now=NOON)
    stories.make_member(acme.organization, Role.VIEWER, now=NOON)
    User.objects.filter(pk=developer.pk).update(language="en", name="Lee")
    key, _secret = stories.make_key(acme.organization, now=NOON - timedelta(days=2), created_by=developer)
    limit(acme, "72.6", member=developer, hard=False)
    spend(acme, 1, api_key_id=key.pk)
    assert told() == [(Kind.LIMIT_THRESHOLD, 100)]
    queued = OutboxMail.objects.using("system").filter(kind=OutboxMail.Kind.NOTICE)
    assert {row.recipient for row in queued} == {acme.owner.email, admin.email, developer.email}
    assert len({row.message_id for row in queued}) == 3
    deliver_waiting(now=NOON)
    sent = {message.to[0]: message for message in mail.outbox}
    english = sent[developer.email]
    assert english.subject == "[InvoiceDream] 100% of the spend limit is used: Lee"
    assert "A soft spend limit is used up. It refuses nothing." in english.body
    assert str(english.body).count("Spent: ₩73") == 1
    assert "Begins anew: December 1, 2026, 00:00 KST" in english.body
    assert "/o/acme/limits" in english.body
    korean = sent[acme.owner.email]
    assert korean.subject == "[인보이스랩] 사용 한도 100% 사용: Lee"
    assert "새로 시작: 2026년 12월 1일 00:00\n" in korean.body


def test_low_credit_is_told_when_it_falls_and_again_after_it_rose(acme: stories.Company) -> None:
    set_low_credit(organization=acme.organization, amount=Decimal(4900), actor=acme.owner, now=NOON)
    assert told() == []
    holds.reserve([request(acme, 4000)])
    assert told() == [], "what is held is no spend"
    spend(acme, 2)
    assert told() == [(Kind.CREDIT_LOW, None)]
    spend(acme, 1)
    assert told() == []
    [notice] = Notice.objects.using("system").all()
    assert (notice.data["left"], notice.data["threshold"]) == ("4854.8", "4900")
    with tenant_scope([acme.organization.pk]):
        grant_credit(
            organization=acme.organization,
            amount=Decimal(1000),
            currency="KRW",
            kind=CreditGrant.Kind.PROMOTIONAL,
            reason="More",
            key="more",
            now=NOON,
        )
    assert told() == []
    notice.refresh_from_db(using="system")
    assert notice.ended_at == NOON
    spend(acme, 20)
    assert told(now=NOON + timedelta(seconds=1)) == [(Kind.CREDIT_LOW, None)]


def test_who_never_had_or_spent_anything_is_not_told(cast: stories.Cast, settings: Settings) -> None:
    settings.LOW_CREDIT = {"KRW": Decimal(1000), "USD": Decimal(1)}
    stories.make_company("fresh", now=NOON, trial_credit=Decimal(0))
    assert told() == []


def test_a_stopped_key_is_told_once_to_who_made_it_too(acme: stories.Company) -> None:
    developer = stories.make_member(acme.organization, Role.DEVELOPER, now=NOON)
    key, _secret = stories.make_key(acme.organization, now=NOON - timedelta(days=2), created_by=developer, name="Loop")
    stop_key(
        organization_id=acme.organization.pk,
        api_key_id=key.pk,
        cause=KeyStop.Cause.CAP,
        seconds=600,
        spent=Decimal("700000.5"),
        allowed=Decimal(500_000),
        now=NOON,
    )
    assert told() == [(Kind.KEY_STOPPED, None)]
    deliver_waiting(now=NOON)
    assert {message.to[0] for message in mail.outbox} == {acme.owner.email, developer.email}
    assert "Loop" in mail.outbox[0].subject
    assert "₩700,001" in mail.outbox[0].body
    lift_stop(organization=acme.organization, api_key=key, actor=acme.owner, now=NOON)
    assert told() == []


def test_who_left_gets_no_mail(acme: stories.Company) -> None:
    developer = stories.make_member(acme.organization, Role.DEVELOPER, now=NOON)
    limit(acme, "72.6", member=developer)
    key, _secret = stories.make_key(acme.organization, now=NOON - timedelta(days=2), created_by=developer)
    Membership.objects.using("system").filter(user=developer).delete()
    spend(acme, 1, api_key_id=key.pk)
    assert told() == [(Kind.LIMIT_THRESHOLD, 100)]
    [only] = OutboxMail.objects.using("system").filter(kind=OutboxMail.Kind.NOTICE)
    assert only.recipient == acme.owner.email


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in TOLD_TO_PROGRAMS])
def test_every_notice_has_words_in_both_languages(acme: stories.Company, kind: Kind) -> None:
    data = {
        "api_key": {"id": "1", "name": "Search", "prefix": "idk_live_x"},
        "member": None,
        "window": "day",
        "resets_at": "2026-11-22T15:00:00Z",
        "stopped_at": "2026-11-22T15:00:00Z",
        "suspended_at": "2026-11-22T15:00:00Z",
        "restored_at": "2026-11-23T15:00:00Z",
        "invoice": None,
        "closes_at": "2026-11-30T15:00:00Z",
        "readable_until": "2027-12-10T15:00:00Z",
        "at_once": False,
        "asked_by": "Lee",
        "hard": True,
        "currency": "KRW",
        "percent": 80,
        "created_by": "Lee",
        "created_at": "2026-11-22T15:00:00Z",
        "seconds": 600,
        "days": 3,
        "url": "https://hooks.acme.example/x",
        **dict.fromkeys(("amount", "spent", "held", "left", "threshold", "allowed"), "12.5"),
    }
    notice = Notice(organization=acme.organization, kind=kind, data=json.loads(json.dumps(data)))
    for language in ("ko", "en"):
        with translation.override(language):
            words = words_of(notice)
        text = f"{words.subject} {words.lead} {words.action}"
        assert bool(re.search("[가-힣]", text)) == (language == "ko")
        assert "%" not in text.replace("80%", "")


def test_a_key_that_somebody_made_is_told_once(acme: stories.Company) -> None:
    key, _secret = stories.make_key(acme.organization, now=NOON, name="Batch", created_by=acme.owner)
    stories.make_key(acme.organization, now=NOON, name="Of a program")
    [notice] = notice_all(now=NOON)
    assert (notice.kind, notice_all(now=NOON)) == (Kind.KEY_CREATED, [])
    assert notice.data["api_key"] == {"id": str(key.pk), "name": "Batch", "prefix": key.prefix}
    with tenant_scope([acme.organization.pk]):
        found = OutboxMail.objects.get(context__notice=str(notice.pk))
        letter = compose(found)
    assert found.recipient == acme.owner.email
    assert "Batch" in letter.subject and "/o/acme/keys" in letter.text


def test_a_key_that_was_revoked_at_once_or_is_old_is_not_told(acme: stories.Company) -> None:
    key, _secret = stories.make_key(acme.organization, now=NOON, created_by=acme.owner)
    assert notice_all(now=NOON + timedelta(days=1)) == []
    with tenant_scope([acme.organization.pk]):
        revoke_api_key(key=key, now=NOON, actor=acme.owner)
    assert notice_all(now=NOON) == []
