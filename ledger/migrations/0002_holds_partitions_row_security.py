"""The hot table of holds, monthly partitions for hot tables, periods that cannot overlap, row security."""

from django.db import migrations

from accounts.row_security import forbid_changes, isolate, revoke, role

CREATE_PARTITION_FUNCTION = f"""
-- Makes the partition of `parent` (a table partitioned by a UUIDv7) for the UTC month of `month`, if there is none. The table is
-- made first and attached afterwards, so that readers and writers of the parent are not blocked. Runs as the owner; nobody but
-- the owner may touch a partition directly, because row security stands on the parent only.
CREATE FUNCTION create_month_partition(parent regclass, month date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    first_day date := date_trunc('month', month)::date;
    partition text := format('%s_y%sm%s', parent::text, to_char(first_day, 'YYYY'), to_char(first_day, 'MM'));
BEGIN
    -- Run for callers who own nothing: only our own tables, only months that can occur.
    IF parent::text NOT IN ('ledger_hold', 'metering_usageevent') OR month NOT BETWEEN '2020-01-01' AND '2099-12-31' THEN
        RAISE EXCEPTION 'no partition of % for %', parent, month;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(partition, 0));
    IF to_regclass(partition) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %s INCLUDING ALL)', partition, parent);
    EXECUTE format('REVOKE ALL ON %I FROM PUBLIC, {role("app")}, {role("system")}', partition);
    EXECUTE format('ALTER TABLE %s ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, partition,
        first_uuid_of(first_day), first_uuid_of((first_day + interval '1 month')::date));
    RETURN true;
END $$;

-- The smallest UUIDv7 of a UTC day: 48 bits of milliseconds, then zeros.
CREATE FUNCTION first_uuid_of(day date) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT rpad(lpad(to_hex((extract(epoch FROM day::timestamp) * 1000)::bigint), 12, '0'), 32, '0')::uuid
$$;
REVOKE ALL ON FUNCTION create_month_partition(regclass, date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION create_month_partition(regclass, date) TO {role("app")}, {role("system")};
"""

CREATE_HOLDS = """
CREATE TABLE ledger_hold (
    organization_id bigint NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    resolved_at timestamptz,
    api_key_id bigint,
    id uuid NOT NULL,
    model_id integer NOT NULL,
    status smallint NOT NULL DEFAULT 1 CHECK (status BETWEEN 1 AND 4),
    amount numeric(38,20) NOT NULL CHECK (amount >= 0 AND amount < 'NaN'),
    captured numeric(38,20) CHECK (captured >= 0 AND captured < 'NaN'),
    request_id text COLLATE "C" NOT NULL,
    upstream text COLLATE "C" NOT NULL,
    generation_id text COLLATE "C",
    PRIMARY KEY (organization_id, id),
    CHECK ((status = 2) = (captured IS NOT NULL)),
    CHECK ((status IN (2, 3)) = (resolved_at IS NOT NULL))
) PARTITION BY RANGE (id);
CREATE INDEX ledger_hold_unresolved ON ledger_hold (expires_at) WHERE status IN (1, 4);
"""

NO_OVERLAP = """
ALTER TABLE ledger_billingperiod ADD CONSTRAINT periods_do_not_overlap
    EXCLUDE USING gist (organization_id WITH =, tstzrange(starts_at, ends_at) WITH &&);
"""


class Migration(migrations.Migration):
    dependencies = [("ledger", "0001_initial"), ("accounts", "0002_row_security")]

    operations = [
        migrations.RunSQL(
            CREATE_PARTITION_FUNCTION,
            reverse_sql="DROP FUNCTION create_month_partition(regclass, date); DROP FUNCTION first_uuid_of(date);",
        ),
        migrations.RunSQL(CREATE_HOLDS, reverse_sql="DROP TABLE ledger_hold;"),
        isolate("ledger_hold"),
        revoke("ledger_hold", rights="DELETE, TRUNCATE"),
        migrations.RunSQL(
            NO_OVERLAP, reverse_sql="ALTER TABLE ledger_billingperiod DROP CONSTRAINT periods_do_not_overlap;"
        ),
        isolate("ledger_billingperiod"),
        isolate("ledger_balance"),
        isolate("ledger_creditgrant"),
        forbid_changes("ledger_creditgrant"),
    ]
