"""The tables of a data export: which columns of an organization's rows customers get, and how they are read.

Rows are read in batches by primary key, each in a tenant scope of its own, as `metering.export_rows` reads usage. No secret, no
digest and no note of an operator's is among the columns.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.constants import LOOKUP_SEP

from accounts.models import ApiKey, AuditEntry, Invitation, Membership, Organization, TagDeclaration
from accounts.tenancy import tenant_scope
from billing.models import (
    BillingTerms,
    CreditNote,
    CreditNoteLine,
    Invoice,
    InvoiceLine,
    Notice,
    Payment,
    PaymentMethod,
    Quotation,
    Refund,
    TaxInvoice,
    WebhookEndpoint,
)
from ledger.models import CreditGrant, CreditUse, SpendLimit
from metering.export_rows import BATCH, Batches, Header, Kind, Row
from metering.models import UnratedUsage

KINDS: "Sequence[tuple[type[models.Field[Any, Any]], Kind]]" = (
    (models.DateTimeField, Kind.MOMENT),
    (models.DateField, Kind.DAY),
    (models.DecimalField, Kind.MONEY),
    (models.BooleanField, Kind.FLAG),
    (models.IntegerField, Kind.WHOLE),
    (models.ForeignKey, Kind.TEXT),
)
"""The first that a field is of decides; all others are text."""
AS_JSON = (models.JSONField, ArrayField)


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV of the archive: columns of a model, those of other tables as `invoice__number`. `key` is unique and orders rows."""

    name: str
    model: type[models.Model]
    names: str
    key: str = "pk"

    @property
    def columns(self) -> list[str]:
        return self.names.split()

    @property
    def header(self) -> Header:
        return tuple((column.replace(LOOKUP_SEP, "_"), _kind(_field(self.model, column))) for column in self.columns)

    def batches(self, organization: Organization) -> Batches:
        """All rows of the organization. Must run outside of a transaction."""
        last = None
        while True:
            with tenant_scope([organization.pk]):
                rows = self.model.objects.for_organization(organization).order_by(self.key)  # type: ignore[attr-defined]
                after = rows if last is None else rows.filter(**{f"{self.key}__gt": last})
                found = list(after.values_list(self.key, *self.columns)[:BATCH])
            if found:
                yield [self._cells(row[1:]) for row in found]
            if len(found) < BATCH:
                return
            last = found[-1][0]

    def _cells(self, row: Row) -> Row:
        fields = [_field(self.model, column) for column in self.columns]
        return tuple(_cell(field, value) for field, value in zip(fields, row, strict=True))


TABLES = (
    Table("members", Membership, "user_id user__name user__email role created_at"),
    Table("invitations", Invitation, "email role created_at sent_at expires_at accepted_at canceled_at"),
    Table(
        "api_keys",
        ApiKey,
        "id name prefix scopes allowed_models created_at created_by__email expires_at rotated_at revoked_at "
        "requests_per_minute tokens_per_minute",
    ),
    Table("spend_limits", SpendLimit, "api_key_id member_id window hard amount window_start window_end"),
    Table("tags", TagDeclaration, "keys declared_at"),
    Table("terms", BillingTerms, "effective_from minimum_fee discount zero_invoices reviewed created_at"),
    Table(
        "invoices",
        Invoice,
        "id number kind status period__starts_at period__ends_at currency tax_treatment tax_rate subtotal tax "
        "total credit_applied amount_due po_number issued_on written_on due_on seller buyer exchange_rates "
        "finalized_at paid_at voided_at",
    ),
    Table(
        "invoice_lines",
        InvoiceLine,
        "invoice__number position kind model token_class service_month quantity unit_price exact_amount "
        "amount applied_rate_id",
    ),
    Table(
        "credit_notes",
        CreditNote,
        "id number invoice__number reason currency subtotal tax total applied to_credit to_refund "
        "credit_returned issued_on issued_at",
    ),
    Table("credit_note_lines", CreditNoteLine, "credit_note__number invoice_line__position amount"),
    Table(
        "payments",
        Payment,
        "id invoice__number processor status amount currency reference payer_name failure created_at settled_at",
    ),
    Table(
        "refunds",
        Refund,
        "id payment_id credit_note__number processor status amount currency sent_on created_at settled_at",
    ),
    Table("cards", PaymentMethod, "label expires_on created_at removed_at"),
    Table("credits", CreditGrant, "id kind amount currency reason granted_at expires_at"),
    Table("credit_uses", CreditUse, "grant_id invoice_id amount at"),
    Table(
        "tax_invoices",
        TaxInvoice,
        "invoice__number occasion status write_date supply tax total approval_number issued_at",
    ),
    Table("quotations", Quotation, "id subject currency subtotal tax total lines issued_on valid_until created_at"),
    Table("webhooks", WebhookEndpoint, "id url created_at disabled_at removed_at"),
    Table("notices", Notice, "id kind data created_at"),
    Table("usage_without_a_price", UnratedUsage, "event_id report", key="event_id"),
    Table("audit_log", AuditEntry, "at actor_id action target"),
)
"""Beside them stand the organization's profile, its requests and its papers (`archive`)."""


def _field(model: type[models.Model], column: str) -> "models.Field[Any, Any]":
    *path, name = column.split(LOOKUP_SEP)
    for step in path:
        model = model._meta.get_field(step).related_model  # type: ignore[assignment]
    return model._meta.get_field(name)  # type: ignore[return-value]


def _kind(field: "models.Field[Any, Any]") -> Kind:
    return next((kind for of, kind in KINDS if isinstance(field, of)), Kind.TEXT)


def _cell(field: "models.Field[Any, Any]", value: Any) -> Any:
    if value is None or _kind(field) is not Kind.TEXT:
        return value
    return (
        json.dumps(value, ensure_ascii=False, sort_keys=True, default=str) if isinstance(field, AS_JSON) else str(value)
    )
