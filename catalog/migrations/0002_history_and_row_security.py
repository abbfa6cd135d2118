"""Prices, markups and rates are history; unit prices are checked in the database too (no NaN, no negative, no float)."""

from django.db import migrations

from accounts.row_security import forbid_changes, isolate

CREATE_CHECK = """
CREATE FUNCTION is_price_map(prices jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_typeof(prices) = 'object' AND coalesce(bool_and(value ~ '^"[0-9]{1,18}(\\.[0-9]{1,20})?"$'), false)
    FROM (SELECT value::text FROM jsonb_each(prices)) AS entry
$$;
ALTER TABLE catalog_appliedrate
    ADD CONSTRAINT applied_rate_unit_costs_are_prices CHECK (is_price_map(unit_costs)),
    ADD CONSTRAINT applied_rate_unit_prices_are_prices CHECK (is_price_map(unit_prices));
ALTER TABLE catalog_costprice
    ADD CONSTRAINT cost_price_sheet_is_prices CHECK (sheet IS NULL OR is_price_map(sheet -> 'base'));
ALTER TABLE catalog_exchangerate ADD CONSTRAINT exchange_rate_is_a_number CHECK (rate < 'NaN');
ALTER TABLE catalog_markuprule ADD CONSTRAINT markup_is_a_number CHECK (markup < 'NaN');
"""
DROP_CHECK = """
ALTER TABLE catalog_markuprule DROP CONSTRAINT markup_is_a_number;
ALTER TABLE catalog_exchangerate DROP CONSTRAINT exchange_rate_is_a_number;
ALTER TABLE catalog_costprice DROP CONSTRAINT cost_price_sheet_is_prices;
ALTER TABLE catalog_appliedrate
    DROP CONSTRAINT applied_rate_unit_costs_are_prices, DROP CONSTRAINT applied_rate_unit_prices_are_prices;
DROP FUNCTION is_price_map(jsonb);
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0001_initial"), ("accounts", "0002_row_security")]

    operations = [
        migrations.RunSQL(CREATE_CHECK, reverse_sql=DROP_CHECK),
        isolate("catalog_markuprule", shared_when_null=True),
        forbid_changes("catalog_costprice"),
        forbid_changes("catalog_markuprule"),
        forbid_changes("catalog_exchangerate"),
        forbid_changes("catalog_appliedrate"),
    ]
