"""A version of the seller's details stays as it was entered: a change is a new one."""

from django.db import migrations

from accounts.row_security import forbid_changes


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0005_credit_note_proposals"),
    ]

    operations = [
        forbid_changes("billing_seller"),
    ]
