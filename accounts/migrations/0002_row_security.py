"""Tenant rows behind row-level security, history behind a trigger, and the built-in sources of usage."""

from datetime import UTC, datetime

from django.db import migrations

from accounts.row_security import CREATE_IMMUTABILITY_FUNCTION, forbid_changes, isolate


def create_built_in_sources(apps, schema_editor):  # type: ignore[no-untyped-def]
    source = apps.get_model("accounts", "Source")
    long_ago = datetime(2026, 1, 1, tzinfo=UTC)
    for slug, name in [("gateway", "InvoiceDream gateway"), ("api", "Usage API")]:
        source.objects.using(schema_editor.connection.alias).create(
            slug=slug, name=name, all_organizations=True, created_at=long_ago
        )


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [
        CREATE_IMMUTABILITY_FUNCTION,
        isolate("accounts_organization", column="id"),
        isolate("accounts_membership"),
        isolate("accounts_billingprofile"),
        isolate("accounts_apikey"),
        isolate("accounts_sourceorganization"),
        isolate("accounts_auditentry"),
        forbid_changes("accounts_auditentry"),
        forbid_changes("accounts_consent"),
        migrations.RunPython(create_built_in_sources, migrations.RunPython.noop),
    ]
