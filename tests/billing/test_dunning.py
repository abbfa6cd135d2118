"""From the reminder before the due date to suspension and back, by the days of the policy; each step once, never at night."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from django.db import DatabaseError

from accounts.models import AuditEntry, Organization
from accounts.organizations import NotPossible
from accounts.tenancy import tenant_scope
from billing import delivery, invoicing
from billing.bank.bank_transfers import record_transfer
from billing.corrections.write_offs import write_off_invoice
from billing.mail import outbox
from billing.mail.mail_texts import compose
from billing.models import (
    CollectionSetting,
    DunningStep,
    Invoice,
    Notice,
    OutboxMail,
    Payment,
    Suspension,
    WebhookDelivery,
)
from billing.notifications.webhook_endpoints import register
from billing.overdue import dunning, suspension
from billing.overdue.dunning_plan import Planned, due_steps, next_step, schedule
from billing.overdue.dunning_policy import DEFAULT, InvalidPolicy, Policies, Policy, check, set_policy
from tests import stories
from tests.billing.collecting import DUE, OCTOBER, House, at_once, open_invoice
from tests.billing.depositing import Debtors, meet_debtors_of_transfers, next_invoice
from tests.stories import SEOUL

Kind = DunningStep.Kind
_keys = itertools.count()


@pytest.fixture
def owing(db: None) -> Debtors:
    """Acme and globex owe ₩2,260 each, due on 16 November 2026."""
    found = meet_debtors_of_transfers()
    assert found.acme.due_on == date(2026, 11, 16)
    return found


def day(number: int, hour: int = 10) -> datetime:
    """So many days after the due date, at an hour in Seoul."""
    return datetime.combine(date(2026, 11, 16) + timedelta(days=number), time(hour), SEOUL)


def days(first: int, last: int, *, hours: Sequence[int] = (9, 21)) -> Iterator[datetime]:
    """These hours of these days."""
    for number in range(first, last + 1):
        for hour in hours:
            yield day(number, hour)


def sweep(now: datetime) -> list[DunningStep]:
    return [*dunning.dun_all(now=now)]


def steps(invoice: Invoice) -> list[tuple[str, int, bool]]:
    with tenant_scope([invoice.organization_id]):
        found = DunningStep.objects.filter(invoice=invoice).order_by("taken_at", "pk")
        return list(found.values_list("kind", "number", "skipped"))


def mails(invoice: Invoice) -> list[str]:
    with tenant_scope([invoice.organization_id]):
        rows = OutboxMail.objects.filter(invoice=invoice, kind__in=outbox.REMINDERS).order_by("created_at", "pk")
        return list(rows.values_list("kind", flat=True))


def status(invoice: Invoice) -> str:
    return Organization.objects.using("system").get(pk=invoice.organization_id).status


def pay(invoice: Invoice, amount: int = DUE, *, now: datetime) -> None:
    record_transfer(
        organization_id=invoice.organization_id,
        invoice_id=invoice.pk,
        amount=Decimal(amount),
        payer_name="x",
        key=f"dunning-{next(_keys)}",
        received_at=now,
        actor=None,
        now=now,
    )


def test_from_the_first_reminder_to_suspension_and_back(owing: Debtors) -> None:
    taken = [
        (step.kind, step.number, step.taken_at)
        for now in days(-10, 40, hours=range(24))
        for step in sweep(now)
        if step.invoice_id == owing.acme.pk
    ]
    assert taken == [
        ("due_soon", 1, day(-3, 9)),
        ("overdue", 1, day(1, 9)),
        ("overdue", 2, day(7, 9)),
        ("overdue", 3, day(14, 9)),
        ("suspension", 1, day(30, 9)),
    ]
    assert mails(owing.acme) == ["due_soon", "overdue", "overdue", "overdue"]
    assert status(owing.acme) == status(owing.globex) == "suspended"
    call_command("audit")
    assert suspension.restore_paid(now=day(41)) == []
    pay(owing.acme, 2000, now=day(41))
    assert suspension.restore_paid(now=day(41)) == []
    pay(owing.acme, 260, now=day(41))
    assert suspension.restore_paid(now=day(41, 2)) == [owing.acme.organization_id]
    assert suspension.restore_paid(now=day(41, 2)) == []
    assert (status(owing.acme), status(owing.globex)) == ("active", "suspended")
    with tenant_scope([owing.acme.organization_id]):
        notices = list(Notice.objects.order_by("created_at").values_list("kind", flat=True))
        actions = set(AuditEntry.objects.values_list("action", flat=True))
        told = {mail.recipient for mail in OutboxMail.objects.filter(kind="notice")}
    assert notices == ["account.suspended", "account.restored"]
    assert {"organization.suspended", "organization.reactivated"} <= actions
    assert told == {owing.cast.acme.owner.email}
    call_command("audit")


def test_a_month_without_sweeps_is_caught_up_without_a_flood(owing: Debtors) -> None:
    taken = [step for now in days(35, 45) for step in sweep(now) if step.invoice_id == owing.acme.pk]
    assert [(step.kind, step.number, step.taken_at) for step in taken] == [
        ("overdue", 3, day(35, 9)),
        ("suspension", 1, day(38, 9)),
    ]
    assert sorted(steps(owing.acme)) == [
        ("due_soon", 1, True),
        ("overdue", 1, True),
        ("overdue", 2, True),
        ("overdue", 3, False),
        ("suspension", 1, False),
    ]
    assert mails(owing.acme) == ["overdue"]


def test_a_late_reminder_names_a_day_that_has_not_come(owing: Debtors) -> None:
    sweep(day(35))
    with tenant_scope([owing.acme.organization_id]):
        assert OutboxMail.objects.get(kind="overdue").context == {"suspension_on": day(38).date().isoformat()}
    suspension.suspend(organization_id=owing.globex.organization_id, reason="x", now=day(35, 11), actor=None)
    sweep(day(38))
    suspension.restore(organization_id=owing.globex.organization_id, reason="x", now=day(39), actor=None)
    set_policy(organization=None, policy=Policy(overdue_days=(1, 7, 14, 40)), reason="", now=day(39), actor=None)
    sweep(day(40))
    with tenant_scope([owing.globex.organization_id]):
        last = OutboxMail.objects.filter(kind="overdue").latest("created_at")
    assert last.context == {"suspension_on": ""}


def test_a_payment_between_two_steps_stops_everything(owing: Debtors) -> None:
    sweep(day(1))
    pay(owing.acme, now=day(2))
    assert [step for now in days(2, 40) for step in sweep(now) if step.invoice_id == owing.acme.pk] == []
    assert (mails(owing.acme), status(owing.acme)) == (["overdue"], "active")
    assert mails(owing.globex)[0] == "overdue" and status(owing.globex) == "suspended"


def test_what_is_owed_is_looked_at_under_the_lock(owing: Debtors, monkeypatch: pytest.MonkeyPatch) -> None:
    concerned = dunning._concerned

    def pays_meanwhile(policies: Policies, *, now: datetime) -> set[int]:
        found = concerned(policies, now=now)
        pay(owing.acme, now=now)
        return found

    monkeypatch.setattr("billing.overdue.dunning._concerned", pays_meanwhile)
    assert {step.invoice_id for step in sweep(day(1))} == {owing.globex.pk}
    assert mails(owing.acme) == []


def test_two_sweeps_at_once_send_one_mail(owing: Debtors) -> None:
    results = at_once(lambda: sweep(day(1)), times=4)
    assert sum(len(result) for result in results) == 2, results
    assert mails(owing.acme) == mails(owing.globex) == ["overdue"]


def test_a_reminder_that_was_paid_before_it_went_out_is_not_sent(owing: Debtors) -> None:
    sweep(day(1))
    pay(owing.acme, now=day(1, 11))
    with tenant_scope([owing.acme.organization_id]):
        mail = OutboxMail.objects.get(kind="overdue")
    assert delivery.deliver(organization_id=mail.organization_id, mail_id=mail.pk, now=day(1, 12)) == "failed"
    assert not outbox.given_up().filter(pk=mail.pk).exists()


def test_void_invoices_are_not_dunned(owing: Debtors) -> None:
    invoicing.void_invoice(
        organization_id=owing.acme.organization_id, invoice_id=owing.acme.pk, reason="x", now=day(0), actor=None
    )
    assert {step.invoice_id for step in sweep(day(1))} == {owing.globex.pk}


def test_several_invoices_are_reminded_of_one_a_day(owing: Debtors) -> None:
    second = next_invoice(owing.cast.acme)
    later = datetime.combine(second.due_on + timedelta(days=1), time(9), SEOUL)
    assert [step.invoice_id for step in sweep(later) if step.organization_id == owing.acme.organization_id] == [
        owing.acme.pk
    ]
    again = sweep(later + timedelta(hours=1))
    assert [step.invoice_id for step in again if step.organization_id == owing.acme.organization_id] == []
    tomorrow = sweep(later + timedelta(days=1))
    assert [step.invoice_id for step in tomorrow if step.organization_id == owing.acme.organization_id] == [second.pk]


@pytest.mark.parametrize("zone", ["Asia/Seoul", "America/New_York", "Asia/Kolkata"])
def test_days_and_hours_are_those_of_the_organization(owing: Debtors, zone: str) -> None:
    invoice = open_invoice(stories.make_company("initech", now=OCTOBER - timedelta(days=5), zone=zone))
    start = datetime.combine(invoice.due_on, time(15), UTC)
    taken = [
        step.taken_at
        for half in range(100)
        for step in sweep(start + timedelta(minutes=30 * half))
        if step.invoice_id == invoice.pk and step.kind == Kind.OVERDUE
    ]
    assert taken[:1] == [datetime.combine(invoice.due_on + timedelta(days=1), time(9), ZoneInfo(zone))]


def test_an_exempt_organization_is_reminded_and_not_suspended(owing: Debtors) -> None:
    set_policy(
        organization=owing.cast.acme.organization,
        policy=Policy(suspend_after=None),
        reason="Public customer",
        now=day(0),
        actor=owing.cast.operator,
    )
    for now in days(1, 40):
        sweep(now)
    assert (status(owing.acme), status(owing.globex), len(mails(owing.acme))) == ("active", "suspended", 3)
    set_policy(organization=owing.cast.acme.organization, policy=None, reason="Over", now=day(41), actor=None)
    sweep(day(42))
    assert status(owing.acme) == "suspended"


def test_a_moved_day_repeats_no_reminder(owing: Debtors) -> None:
    sweep(day(1))
    set_policy(organization=None, policy=Policy(overdue_days=(2, 7, 14)), reason="", now=day(1, 12), actor=None)
    assert [step for now in days(2, 6) for step in sweep(now)] == []


def test_a_new_policy_holds_from_its_moment_on_and_is_history(owing: Debtors) -> None:
    own = set_policy(
        organization=owing.cast.acme.organization, policy=Policy(overdue_days=(5,)), reason="x", now=day(1), actor=None
    )
    assert Policies(now=day(0)).of(owing.acme.organization_id) == DEFAULT
    assert Policies(now=day(1)).of(owing.acme.organization_id).overdue_days == (5,)
    assert Policies(now=day(1)).of(owing.globex.organization_id) == DEFAULT
    own.overdue_days = [1]
    with pytest.raises(DatabaseError):
        own.save(using="system")


@pytest.mark.parametrize(
    "policy",
    [
        Policy(overdue_days=(3, 1)),
        Policy(overdue_days=(0,)),
        Policy(charge_days=(1, 1)),
        Policy(overdue_days=tuple(range(1, 12))),
        Policy(suspend_after=1),
        Policy(suspend_after=400),
        Policy(days_before_due=0),
    ],
    ids=str,
)
def test_policies_that_cannot_be(policy: Policy) -> None:
    with pytest.raises(InvalidPolicy):
        check(policy)


def test_one_whose_turn_fails_keeps_nobody_from_theirs(owing: Debtors, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = sorted((owing.acme, owing.globex), key=lambda invoice: invoice.organization_id)
    dun, let_call = dunning.dun, suspension._restore

    def fails_for_the_first(turn: Callable[..., Any]) -> Callable[..., Any]:
        def take(*args: Any, **named: Any) -> Any:
            if first.organization_id in (*args, named.get("organization_id")):
                raise RuntimeError("nobody thought of this")
            return turn(*args, **named)

        return take

    for now in days(1, 30):
        sweep(now)
    for invoice in (first, second):
        pay(invoice, now=day(31))
    monkeypatch.setattr(suspension, "_restore", fails_for_the_first(let_call))
    assert suspension.restore_paid(now=day(31)) == [second.organization_id]
    monkeypatch.setattr(dunning, "dun", fails_for_the_first(dun))
    later = {invoice.organization_id: invoice for invoice in map(next_invoice, (owing.cast.acme, owing.cast.globex))}
    reminded_on = later[second.organization_id].due_on + timedelta(days=1)
    taken = sweep(datetime.combine(reminded_on, time(10), SEOUL))
    assert {step.invoice_id for step in taken if not step.skipped} == {later[second.organization_id].pk}


def test_a_suspension_of_ours_is_not_lifted_by_a_payment(owing: Debtors) -> None:
    suspension.suspend(
        organization_id=owing.acme.organization_id, reason="Abuse", now=day(0), actor=owing.cast.operator
    )
    pay(owing.acme, now=day(1))
    assert suspension.restore_paid(now=day(1)) == [] and status(owing.acme) == "suspended"
    with pytest.raises(NotPossible):
        suspension.suspend(organization_id=owing.acme.organization_id, reason="Twice", now=day(1), actor=None)
    suspension.restore(
        organization_id=owing.acme.organization_id, reason="Sorted out", now=day(2), actor=owing.cast.operator
    )
    assert status(owing.acme) == "active"
    with tenant_scope([owing.acme.organization_id]):
        [row] = Suspension.objects.all()
    assert (row.cause, row.reason, row.end_reason, row.ended_by) == (
        "operator",
        "Abuse",
        "Sorted out",
        owing.cast.operator,
    )
    call_command("audit")


def test_whom_an_operator_lets_call_again_is_not_suspended_again_for_the_same(owing: Debtors) -> None:
    for now in days(1, 30):
        sweep(now)
    assert status(owing.acme) == "suspended"
    suspension.restore(organization_id=owing.acme.organization_id, reason="Promised", now=day(31), actor=None)
    for now in days(31, 60):
        sweep(now)
    assert status(owing.acme) == "active"
    call_command("audit")


def write_off(invoice: Invoice, *, now: datetime) -> None:
    write_off_invoice(
        organization_id=invoice.organization_id, invoice_id=invoice.pk, reason="Insolvent", now=now, actor=None
    )


def test_a_write_off_lets_nobody_call_again_but_its_payment_does(owing: Debtors) -> None:
    for now in days(1, 30):
        sweep(now)
    write_off(owing.acme, now=day(31))
    assert suspension.restore_paid(now=day(31)) == [] and status(owing.acme) == "suspended"
    told = suspension.suspended_for(owing.acme.organization_id)
    assert (told.invoice_number, told.amount) == (owing.acme.number, DUE)
    pay(owing.acme, DUE - 1, now=day(32))
    assert suspension.restore_paid(now=day(32)) == []
    pay(owing.acme, 1, now=day(33))
    assert suspension.restore_paid(now=day(33)) == [owing.acme.organization_id]
    call_command("audit")


def test_a_debt_written_off_before_a_suspension_does_not_prolong_it(owing: Debtors) -> None:
    write_off(owing.acme, now=day(1))
    later = next_invoice(owing.cast.acme)

    for number in range(32):
        sweep(datetime.combine(later.due_on + timedelta(days=number), time(10), SEOUL))
    assert status(owing.acme) == "suspended"
    now = datetime.combine(later.due_on + timedelta(days=33), time(10), SEOUL)
    pay(later, int(later.amount_due), now=now)
    assert suspension.restore_paid(now=now) == [owing.acme.organization_id]
    call_command("audit")


def test_suspended_by_many_at_once_it_is_told_once(owing: Debtors) -> None:
    for now in days(1, 29):
        sweep(now)
    at_once(lambda: sweep(day(30)), times=4)
    with tenant_scope([owing.acme.organization_id]):
        assert Suspension.objects.count() == Notice.objects.count() == 1
    call_command("audit")


def test_webhooks_hear_of_suspension_with_the_invoice(owing: Debtors) -> None:
    register(
        organization=owing.cast.acme.organization,
        url="https://example.com/hook",
        actor=owing.cast.acme.owner,
        now=day(0),
    )
    for now in days(1, 30):
        sweep(now)
    with tenant_scope([owing.acme.organization_id]):
        [delivery_row] = WebhookDelivery.objects.select_related("notice")
    data = delivery_row.notice.data
    assert delivery_row.notice.kind == "account.suspended"
    assert (data["cause"], data["invoice"]["number"], data["invoice"]["outstanding"]) == (
        "overdue",
        owing.acme.number,
        "2260",
    )


@pytest.mark.parametrize("language", ["ko", "en"])
def test_every_mail_is_worded(owing: Debtors, language: str) -> None:
    for now in days(-3, 30):
        sweep(now)
    pay(owing.acme, 1000, now=day(31))
    suspension.restore(organization_id=owing.acme.organization_id, reason="x", now=day(31), actor=None)
    with tenant_scope([owing.acme.organization_id]):
        letters = {}
        for mail in OutboxMail.objects.exclude(kind__in=["invoice", "receipt"]).order_by("created_at", "pk"):
            mail.language = language
            letters[mail.kind, mail.created_at] = compose(mail)
    assert len(letters) == 6
    due_soon, overdue, *_more, suspended, restored = letters.values()
    for letter in (due_soon, overdue, suspended):
        assert owing.acme.number in letter.subject
    assert "1,260" in due_soon.text and "1,000" in due_soon.text
    warned = {"ko": "2026년 12월 16일", "en": "December 16, 2026"}[language]
    assert warned in overdue.text and warned not in due_soon.text
    assert "2,260" in suspended.text
    assert {"ko": "다시", "en": "again"}[language] in restored.subject


def test_the_card_is_charged_again_before_anybody_is_reminded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    charged: list[datetime] = []

    def charge(*, organization_id: int, invoice_id: object, earlier: int, now: datetime) -> None:
        charged.append(now)
        if len(charged) == 2:
            pay(house.invoice, now=now)

    monkeypatch.setattr("billing.cards.automatic.charge", charge)
    monkeypatch.setattr(
        "billing.overdue.standings.setting_of", lambda organization: CollectionSetting(is_automatic=True)
    )
    for now in days(-1, 30):
        dunning.dun(organization_id=house.organization_id, policies=Policies(now=now), now=now)
    assert charged == [day(1, 9), day(3, 9)]
    assert mails(house.invoice) == ["due_soon", "overdue"] and house.status() == "paid"


def test_nobody_is_reminded_while_the_card_is_being_charged(house: House) -> None:
    with tenant_scope([house.organization_id]):
        payment = Payment.objects.create(
            organization_id=house.organization_id,
            invoice=house.invoice,
            processor="stripe",
            amount=DUE,
            currency="KRW",
            status="unknown",
            idempotency_key="under way",
            created_at=day(1, 8),
        )
    assert sweep(day(1)) == []
    Payment.objects.using("system").filter(pk=payment.pk).update(status="failed")
    assert [step.kind for step in sweep(day(1, 11))] == ["overdue"]


class TestPlan:
    """The arithmetic of days alone."""

    policy = Policy(days_before_due=3, overdue_days=(1, 7), charge_days=(1,), suspend_after=10)
    issued, due = date(2026, 11, 2), date(2026, 11, 16)

    def planned(self, **changes: object) -> list[Planned]:
        given = {"issued_on": self.issued, "due_on": self.due, "policy": self.policy, "has_card": False}
        return schedule(**(given | changes))  # type: ignore[arg-type]

    def test_a_reminder_that_would_come_with_the_invoice_is_none(self) -> None:
        assert [step.kind for step in self.planned(issued_on=date(2026, 11, 13))] == [
            "overdue",
            "overdue",
            "suspension",
        ]
        assert self.planned()[0].kind == "due_soon"

    def test_without_a_card_nothing_is_charged(self) -> None:
        assert "charge" in {step.kind for step in self.planned(has_card=True)}
        assert "charge" not in {step.kind for step in self.planned()}

    @pytest.mark.parametrize(
        ("days", "taken", "kind", "number"),
        [
            (-9, set(), "due_soon", 1),
            (3, set(), "overdue", 1),
            (3, {("overdue", 1)}, "overdue", 2),
            (8, set(), "overdue", 2),
        ],
    )
    def test_the_next_step_is_one_that_is_due_or_the_first_to_come(
        self, days: int, taken: set[tuple[str, int]], kind: str, number: int
    ) -> None:
        coming = next_step(self.planned(), taken=taken, today=self.due + timedelta(days=days), due_on=self.due)
        assert coming is not None and (coming.kind, coming.number) == (kind, number)

    def test_after_the_last_step_nothing_comes(self) -> None:
        planned = self.planned()
        taken = {(step.kind, step.number) for step in planned}
        assert next_step(planned, taken=taken, today=self.due + timedelta(days=90), due_on=self.due) is None

    def test_on_the_due_date_one_is_still_reminded_of_it(self) -> None:
        for today, count in ((self.due, 1), (self.due + timedelta(days=1), 0)):
            due = due_steps(self.planned(), taken=set(), today=today, due_on=self.due)
            assert len([step for step in due.steps if step.kind == Kind.DUE_SOON]) == count
