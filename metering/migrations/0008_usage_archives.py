"""Months of events that left the database for Parquet: what each file holds, and which partitions are gone.

A partition is detached, and later dropped, by functions that run as its owner; both do all or nothing.
"""

from typing import Any

from django.db import migrations, models

from accounts.row_security import isolate, revoke, role

COUNTS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_cache_read_tokens",
    "audio_output_tokens",
    "image_input_tokens",
    "image_output_tokens",
    "images",
    "searches",
    "requests",
)

SUMMED_BY = ("period_id", "api_key_id", "model_id", "applied_rate_id", "tag_1", "tag_2", "tag_3")

CREATE_ARCHIVES = """
CREATE TABLE metering_usagearchive (
    organization_id bigint NOT NULL,
    archived_at timestamptz NOT NULL,
    event_count bigint NOT NULL CHECK (event_count > 0),
    event_digest bigint NOT NULL,
    size bigint NOT NULL CHECK (size > 0),
    first_id uuid NOT NULL,
    last_id uuid NOT NULL CHECK (last_id >= first_id),
    month date NOT NULL CHECK (date_trunc('month', month::timestamp) = month),
    cost numeric(38,20) NOT NULL CHECK (cost < 'NaN'),
    amount numeric(38,20) NOT NULL CHECK (amount < 'NaN'),
    currency text COLLATE "C" NOT NULL,
    sha256 text COLLATE "C" NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    PRIMARY KEY (organization_id, month)
);
"""

CREATE_SUMS = f"""
CREATE TABLE metering_archivedsum (
    organization_id bigint NOT NULL,
    period_id bigint NOT NULL,
    api_key_id bigint NOT NULL,
    event_count bigint NOT NULL,
    event_digest bigint NOT NULL,
    {" bigint NOT NULL, ".join(COUNTS)} bigint NOT NULL,
    month date NOT NULL,
    model_id integer NOT NULL,
    applied_rate_id integer NOT NULL,
    cost numeric(38,20) NOT NULL CHECK (cost < 'NaN'),
    amount numeric(38,20) NOT NULL CHECK (amount < 'NaN'),
    tag_1 text COLLATE "C" NOT NULL,
    tag_2 text COLLATE "C" NOT NULL,
    tag_3 text COLLATE "C" NOT NULL,
    PRIMARY KEY (organization_id, month, period_id, api_key_id, model_id, applied_rate_id, tag_1, tag_2, tag_3)
);
"""

CREATE_MONTHS = """
CREATE TABLE metering_archivedmonth (
    month date PRIMARY KEY,
    event_count bigint NOT NULL,
    event_digest bigint NOT NULL,
    cost numeric(38,20) NOT NULL,
    amount numeric(38,20) NOT NULL,
    detached_at timestamptz NOT NULL,
    dropped_at timestamptz
);
"""

KEEP_ARCHIVES = """
-- What a file holds is history from the moment on in which the file is all there is.
CREATE FUNCTION refuse_change_of_archive() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' OR EXISTS (SELECT FROM metering_archivedmonth AS archived WHERE archived.month = OLD.month) THEN
        RAISE EXCEPTION '% of % is refused: this archive is all there is of its month', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON metering_usagearchive
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_archive();
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON metering_archivedsum
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_archive();
"""
DROP_KEEPING = """
DROP TRIGGER immutable ON metering_archivedsum;
DROP TRIGGER immutable ON metering_usagearchive;
DROP FUNCTION refuse_change_of_archive();
"""

CREATE_DETACHING = f"""
CREATE FUNCTION usage_partition_of(month date) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT 'metering_usageevent' || to_char(month, '"_y"YYYY"m"MM')
$$;

-- Takes the partition of a UTC month out of metering_usageevent and notes it, if it holds exactly the events that were archived:
-- so many, with this digest and these sums. Nobody can add one meanwhile. Readers are kept waiting only while it is detached.
CREATE FUNCTION detach_usage_month(
    archived_month date, events bigint, digest bigint, costs numeric, amounts numeric, at timestamptz
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    partition text := usage_partition_of(archived_month);
    held record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(partition, 0));
    IF EXISTS (SELECT FROM metering_archivedmonth AS archived WHERE archived.month = archived_month) THEN
        RETURN false;
    END IF;
    EXECUTE format('LOCK TABLE %I IN SHARE MODE', partition);
    EXECUTE format(
        $query$SELECT count(*), coalesce(bit_xor(('x' || right(replace(id::text, '-', ''), 16))::bit(64)::bigint), 0),
            coalesce(sum(cost), 0), coalesce(sum(amount), 0) FROM %I$query$, partition
    ) INTO held;
    IF held IS DISTINCT FROM ROW(events, digest, costs, amounts) THEN
        RAISE EXCEPTION 'the events of % are not those that were archived', to_char(archived_month, 'YYYY-MM')
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    INSERT INTO metering_archivedmonth (month, event_count, event_digest, cost, amount, detached_at)
        VALUES (archived_month, events, digest, costs, amounts, at);
    EXECUTE format('ALTER TABLE metering_usageevent DETACH PARTITION %I', partition);
    RETURN true;
END $$;

-- Drops the table that was the partition of a month which is archived and detached.
CREATE FUNCTION drop_usage_month(archived_month date, at timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    partition text := usage_partition_of(archived_month);
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(partition, 0));
    IF NOT EXISTS (SELECT FROM metering_archivedmonth AS archived WHERE archived.month = archived_month)
        OR EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass(partition))
    THEN
        RAISE EXCEPTION 'the partition of % was not detached', to_char(archived_month, 'YYYY-MM')
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    EXECUTE format('DROP TABLE IF EXISTS %I', partition);
    UPDATE metering_archivedmonth AS archived SET dropped_at = at
        WHERE archived.month = archived_month AND archived.dropped_at IS NULL;
    RETURN FOUND;
END $$;
REVOKE ALL ON FUNCTION detach_usage_month(date, bigint, bigint, numeric, numeric, timestamptz) FROM PUBLIC;
REVOKE ALL ON FUNCTION drop_usage_month(date, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION detach_usage_month(date, bigint, bigint, numeric, numeric, timestamptz) TO {role("system")};
GRANT EXECUTE ON FUNCTION drop_usage_month(date, timestamptz) TO {role("system")};
"""
DROP_DETACHING = """
DROP FUNCTION detach_usage_month(date, bigint, bigint, numeric, numeric, timestamptz);
DROP FUNCTION drop_usage_month(date, timestamptz);
DROP FUNCTION usage_partition_of(date);
"""


def _create_month_partition(refusal: str) -> str:
    return f"""
CREATE OR REPLACE FUNCTION create_month_partition(parent regclass, month date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    first_day date := date_trunc('month', month)::date;
    partition text := format('%s_y%sm%s', parent::text, to_char(first_day, 'YYYY'), to_char(first_day, 'MM'));
BEGIN
    -- Run for callers who own nothing: only our own tables, only months that can occur.
    IF parent::text NOT IN ('ledger_hold', 'metering_usageevent') OR month NOT BETWEEN '2020-01-01' AND '2099-12-31' THEN
        RAISE EXCEPTION 'no partition of % for %', parent, month;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(partition, 0));{refusal}
    IF to_regclass(partition) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %s INCLUDING ALL)', partition, parent);
    EXECUTE format('REVOKE ALL ON %I FROM PUBLIC, {role("app")}, {role("system")}', partition);
    EXECUTE format('ALTER TABLE %s ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, partition,
        first_uuid_of(first_day), first_uuid_of((first_day + interval '1 month')::date));
    RETURN true;
END $$;
"""


REFUSE_ARCHIVED = """
    -- A second partition of a month that is archived would hide its archive.
    IF parent::text = 'metering_usageevent'
        AND EXISTS (SELECT FROM metering_archivedmonth AS archived WHERE archived.month = first_day)
    THEN
        RAISE EXCEPTION 'the usage of % is archived', to_char(first_day, 'YYYY-MM')
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;"""


def _key(*names: str) -> models.CompositePrimaryKey:
    return models.CompositePrimaryKey(*names, blank=True, editable=False, primary_key=True, serialize=False)


def _money() -> Any:
    return models.DecimalField(max_digits=38, decimal_places=20)


MODELS = [
    migrations.CreateModel(
        name="UsageArchive",
        fields=[
            ("pk", _key("organization_id", "month")),
            ("organization_id", models.BigIntegerField()),
            ("month", models.DateField()),
            ("archived_at", models.DateTimeField()),
            ("first_id", models.UUIDField()),
            ("last_id", models.UUIDField()),
            ("event_count", models.BigIntegerField()),
            ("event_digest", models.BigIntegerField()),
            ("cost", _money()),
            ("amount", _money()),
            ("currency", models.TextField()),
            ("size", models.BigIntegerField()),
            ("sha256", models.TextField()),
        ],
        options={"db_table": "metering_usagearchive", "managed": False},
    ),
    migrations.CreateModel(
        name="ArchivedSum",
        fields=[
            ("pk", _key("organization_id", "month", *SUMMED_BY)),
            ("organization_id", models.BigIntegerField()),
            ("month", models.DateField()),
            ("period_id", models.BigIntegerField()),
            ("api_key_id", models.BigIntegerField()),
            ("model_id", models.IntegerField()),
            ("applied_rate_id", models.IntegerField()),
            *((name, models.TextField()) for name in SUMMED_BY[-3:]),
            ("event_count", models.BigIntegerField()),
            ("event_digest", models.BigIntegerField()),
            ("cost", _money()),
            ("amount", _money()),
            *((name, models.BigIntegerField()) for name in COUNTS),
        ],
        options={"db_table": "metering_archivedsum", "managed": False},
    ),
    migrations.CreateModel(
        name="ArchivedMonth",
        fields=[
            ("month", models.DateField(primary_key=True, serialize=False)),
            ("event_count", models.BigIntegerField()),
            ("event_digest", models.BigIntegerField()),
            ("cost", _money()),
            ("amount", _money()),
            ("detached_at", models.DateTimeField()),
            ("dropped_at", models.DateTimeField(null=True)),
        ],
        options={"db_table": "metering_archivedmonth", "managed": False},
    ),
]


class Migration(migrations.Migration):
    dependencies = [("metering", "0007_event_tags"), ("ledger", "0002_holds_partitions_row_security")]

    operations = [
        migrations.RunSQL(CREATE_ARCHIVES, reverse_sql="DROP TABLE metering_usagearchive;", state_operations=MODELS),
        migrations.RunSQL(CREATE_SUMS, reverse_sql="DROP TABLE metering_archivedsum;"),
        migrations.RunSQL(CREATE_MONTHS, reverse_sql="DROP TABLE metering_archivedmonth;"),
        migrations.RunSQL(KEEP_ARCHIVES, reverse_sql=DROP_KEEPING),
        migrations.RunSQL(CREATE_DETACHING, reverse_sql=DROP_DETACHING),
        migrations.RunSQL(_create_month_partition(REFUSE_ARCHIVED), reverse_sql=_create_month_partition("")),
        isolate("metering_usagearchive"),
        isolate("metering_archivedsum"),
        revoke("metering_usagearchive", rights="INSERT, UPDATE, DELETE, TRUNCATE", roles=("app",)),
        revoke("metering_archivedsum", rights="INSERT, UPDATE, DELETE, TRUNCATE", roles=("app",)),
        revoke("metering_usagearchive", rights="UPDATE, TRUNCATE", roles=("system",)),
        revoke("metering_archivedsum", rights="UPDATE, TRUNCATE", roles=("system",)),
        revoke("metering_archivedmonth", rights="INSERT, UPDATE, DELETE, TRUNCATE"),
    ]
