"""What travels in one message is the same transaction: scoped, whole, quoted, and the caller's where there is one."""

import pytest
from django.db import DataError, IntegrityError, connections, transaction

from accounts.models import Organization
from accounts.round_trips import Statement, in_tenant_scope, run, tenant_transaction
from tests import stories
from tests.stories import NOON

NAME = Statement("UPDATE accounts_organization SET name = %s WHERE id = ANY(%s) RETURNING id")
SAY = Statement("SELECT %s::text, %s::text[], %s::int")
BREAK = Statement("INSERT INTO accounts_organization (id) VALUES (%s)")


@pytest.fixture
def cast(db: None) -> stories.Cast:
    return stories.meet_the_cast(now=NOON)


def name_of(company: stories.Company) -> str:
    return Organization.objects.using("system").get(pk=company.organization.pk).name


@pytest.mark.parametrize("text", ["it's", 'a "b" \\ c', "100 %s", "{a,b}", "NULL", "", "'; COMMIT; --", "금액 ₩"])
def test_texts_arrive_as_they_are(cast: stories.Cast, text: str) -> None:
    [rows] = in_tenant_scope([], [(SAY, [text, [text, None, text], None])])
    assert rows == [(text, [text, None, text], None)]


def test_a_text_that_the_database_cannot_hold_is_refused_before_it_is_cut(cast: stories.Cast) -> None:
    with pytest.raises(DataError):
        in_tenant_scope([], [(SAY, ["a\x00b", [], 1])])
    assert in_tenant_scope([], [(SAY, ["a", [], 1])]) == [[("a", [], 1)]]


def test_nobody_else_is_in_scope(cast: stories.Cast) -> None:
    both = [cast.acme.organization.pk, cast.globex.organization.pk]
    [rows] = in_tenant_scope([cast.acme.organization.pk], [(NAME, ["renamed", both])])
    assert rows == [(cast.acme.organization.pk,)]
    assert name_of(cast.acme) == "renamed" != name_of(cast.globex)


def test_nothing_is_kept_if_a_later_step_fails_and_the_connection_goes_on(cast: stories.Cast) -> None:
    ours = [cast.acme.organization.pk]
    for _time in range(2):
        with pytest.raises(IntegrityError), tenant_transaction(ours, [(NAME, ["first", ours])]) as hot:
            hot.finish([(NAME, ["second", ours]), (BREAK, [1])])
        assert name_of(cast.acme) == cast.acme.organization.name
    in_tenant_scope(ours, [(NAME, ["third", ours])])
    assert name_of(cast.acme) == "third"


def test_a_transaction_of_the_caller_is_not_committed(cast: stories.Cast) -> None:
    ours = [cast.acme.organization.pk]
    with pytest.raises(KeyError), transaction.atomic():
        with tenant_transaction(ours, []) as hot:
            hot.finish([(NAME, ["inner", ours])])
        raise KeyError
    assert name_of(cast.acme) == cast.acme.organization.name
    assert connections["default"].get_autocommit()


def test_what_ends_without_finishing_is_committed(cast: stories.Cast) -> None:
    ours = [cast.acme.organization.pk]
    with tenant_transaction(ours, [(NAME, ["one", ours])]):
        run([(NAME, ["two", ours])])
    assert name_of(cast.acme) == "two"
