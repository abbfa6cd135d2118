"""What the tables themselves must promise: layers, row security, the rules of hot tables, models that match the catalog."""

import os

import psycopg
import pytest
from django.apps import apps
from django.db import connections, models

from accounts.row_security import role
from tests import environment

LAYERS = (
    ("accounts",),
    ("ledger", "catalog"),
    ("metering",),
    ("billing",),
    ("dashboard", "console", "gateway"),
    ("demo",),
)
HOT = (
    "ledger_hold",
    "ledger_callkey",
    "metering_usageevent",
    "metering_eventkey",
    "metering_unratedusage",
    "metering_usagecorrection",
    "metering_usagerollup",
)
OURS = [name for layer in LAYERS for name in layer]


def layer_of(model: type[models.Model]) -> int:
    return next(number for number, names in enumerate(LAYERS) if model._meta.app_label in names)


def our_models() -> list[type[models.Model]]:
    return [model for model in apps.get_models() if model._meta.app_label in OURS]


def test_foreign_keys_point_to_the_same_layer_or_a_lower_one() -> None:
    for model in our_models():
        for field in model._meta.get_fields():
            target = field.related_model if field.concrete and field.is_relation else None
            if target is None or target._meta.app_label not in OURS:
                continue
            assert layer_of(target) <= layer_of(model), f"{model.__name__}.{field.name} points upwards"
            same_layer = layer_of(target) == layer_of(model)
            assert not same_layer or target._meta.app_label == model._meta.app_label, f"{model.__name__}.{field.name}"


def rows(query: str, *parameters: object) -> list[tuple[object, ...]]:
    with connections["owner"].cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchall()


def test_every_table_of_a_tenant_is_behind_forced_row_security(db: None) -> None:
    tables = rows(
        """
        SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity,
            (SELECT array_agg(polname::text ORDER BY polname) FROM pg_policy WHERE polrelid = c.oid)
        FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'organization_id' AND NOT a.attisdropped
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        """
    )
    assert {"metering_usageevent", "accounts_apikey", "ledger_balance"} <= {table for table, *_rest in tables}
    for table, forced, policies in tables:
        assert forced, f"{table} has no forced row security"
        assert policies == ["everything", "tenant"], table


@pytest.mark.parametrize("which", ["app", "system"])
def test_nobody_reads_around_row_security_through_a_partition(db: None, which: str) -> None:
    rows("SELECT create_month_partition('metering_usageevent', '2026-11-01')")
    [(may,)] = rows(
        "SELECT bool_or(has_table_privilege(%s, 'metering_usageevent_y2026m11', right_))"
        " FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS right_",
        role(which),
    )
    assert may is False


def test_roles_of_run_time_cannot_walk_around_row_security(db: None) -> None:
    found = rows(
        "SELECT rolname, rolsuper OR rolbypassrls OR rolcreaterole FROM pg_roles WHERE rolname = ANY(%s)",
        [role("app"), role("system"), role("owner")],
    )
    assert sorted(found) == sorted((role(name), False) for name in ("app", "system", "owner"))


@pytest.mark.parametrize("table", HOT)
def test_a_hot_table_can_be_distributed_by_organization(db: None, table: str) -> None:
    indexes = rows(
        """
        SELECT array_agg(a.attname::text) FROM pg_index AS i, unnest(i.indkey) AS k
        JOIN pg_attribute AS a ON a.attnum = k WHERE i.indrelid = %s::regclass AND i.indisunique AND a.attrelid = i.indrelid
        GROUP BY i.indexrelid
        """,
        table,
    )
    assert indexes and all("organization_id" in columns for (columns,) in indexes)
    assert rows("SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'f'", table) == []
    assert rows("SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal", table) == []


@pytest.mark.parametrize(
    ("table", "which", "kept"),
    [
        ("metering_usageevent", "app", "SELECT INSERT"),
        ("metering_usageevent", "system", "SELECT INSERT"),
        ("metering_eventkey", "app", "SELECT INSERT"),
        ("metering_eventkey", "system", "SELECT INSERT DELETE"),
        ("metering_usagecorrection", "app", "SELECT INSERT"),
        ("metering_usagecorrection", "system", "SELECT INSERT"),
        ("metering_usagearchive", "app", "SELECT"),
        ("metering_usagearchive", "system", "SELECT INSERT DELETE"),
        ("metering_archivedsum", "app", "SELECT"),
        ("metering_provenday", "app", "SELECT"),
        ("metering_creditedusage", "app", "SELECT INSERT"),
        ("metering_creditedusage", "system", "SELECT INSERT"),
        ("metering_archivedmonth", "app", "SELECT"),
        ("metering_archivedmonth", "system", "SELECT"),
        ("metering_usagerollup", "app", "SELECT INSERT UPDATE"),
        ("ledger_hold", "app", "SELECT INSERT UPDATE"),
        ("ledger_ledgertransaction", "app", "SELECT INSERT"),
        ("ledger_ledgertransaction", "system", "SELECT INSERT"),
        ("ledger_ledgerentry", "app", "SELECT INSERT"),
        ("ledger_ledgerentry", "system", "SELECT INSERT"),
        ("ledger_callkey", "app", "SELECT INSERT UPDATE"),
        ("ledger_callkey", "system", "SELECT INSERT UPDATE DELETE"),
    ],
)
def test_what_was_charged_cannot_be_changed_even_by_us(db: None, table: str, which: str, kept: str) -> None:
    [(rights,)] = rows(
        "SELECT array_agg(right_) FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS right_"
        " WHERE has_table_privilege(%s, %s, right_)",
        role(which),
        table,
    )
    assert rights == kept.split()


@pytest.mark.parametrize(
    "table",
    [
        "catalog_costprice",
        "catalog_markuprule",
        "catalog_exchangerate",
        "catalog_appliedrate",
        "ledger_creditgrant",
        "ledger_credituse",
        "ledger_ledgertransaction",
        "ledger_ledgerentry",
        "accounts_auditentry",
        "accounts_consent",
        "accounts_tagdeclaration",
    ],
)
def test_cold_history_refuses_changes(db: None, table: str) -> None:
    [(count,)] = rows(
        "SELECT count(*) FROM pg_trigger WHERE tgrelid = %s::regclass AND tgname = 'immutable' AND tgenabled = 'O'",
        table,
    )
    assert count == 1


def test_unmanaged_models_have_the_columns_of_their_tables(db: None) -> None:
    for model in our_models():
        if model._meta.managed:
            continue
        wanted = {field.column: field.null for field in model._meta.concrete_fields if field.column}
        found = dict(
            rows(
                "SELECT column_name::text, is_nullable = 'YES' FROM information_schema.columns WHERE table_name = %s",
                model._meta.db_table,
            )
        )
        assert found == wanted, model.__name__


def test_the_server_is_between_15_and_18(db: None) -> None:
    url = environment.with_path(os.environ["DATABASE_URL"], environment.template_database())
    with psycopg.connect(url) as connection:
        assert 150_000 <= connection.info.server_version < 190_000
