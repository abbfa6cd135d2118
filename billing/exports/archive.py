"""The archive of a data export: tables as CSV, requests, papers as PDF, and a manifest that names every file with its hash.

Everything is written as it is read, so memory stays flat however much there is; progress is told as rows go by.
"""

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, BinaryIO

from django.db.models import Min, Sum
from django.forms.models import model_to_dict

from accounts.models import BillingProfile, Organization
from accounts.tenancy import tenant_scope
from billing import documents
from billing.exports.tables import TABLES
from billing.models import CreditNote, Invoice, Payment, Quotation
from billing.papers.paper_kinds import Subject, file_name
from metering.event_filters import EventFilter
from metering.export_formats import FORMATS
from metering.export_rows import HEADER, Batches, export_rows
from metering.models import UsageRollup

Progress = Callable[[str, int], None]
"""Told which part is written, and how many more of its rows or papers are."""
FORMAT = "invoicedream-export/1"
OF_ORGANIZATION = (
    "slug",
    "name",
    "zone",
    "billing_currency",
    "exchange_policy",
    "language",
    "status",
    "created_at",
    "closes_at",
)
A_DAY = timedelta(days=1)
PAPERS: tuple[tuple[str, type[Any], dict[str, str]], ...] = (
    ("invoices", Invoice, {}),
    ("credit_notes", CreditNote, {}),
    ("receipts", Payment, {"status": Payment.Status.SUCCEEDED}),
    ("quotations", Quotation, {}),
)


def count_parts(organization: Organization) -> int:
    """About how many rows and papers there are to write. Needs the tenant scope."""
    rollups = UsageRollup.objects.for_organization(organization)
    rows: int = rollups.aggregate(count=Sum("event_count"))["count"] or 0
    papers: int = sum(_papers(organization, model, wanted).count() for _folder, model, wanted in PAPERS)
    return rows + papers


def write_archive(file: BinaryIO, *, organization: Organization, now: datetime, progress: Progress) -> None:
    """Write the whole archive to `file`. Must run outside of a transaction. Raises what rendering a paper raises."""
    files: list[dict[str, object]] = []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:

        def add(name: str, pieces: Iterator[bytes]) -> None:
            progress(name, 0)
            files.append(_add(archive, name, pieces, now=now))

        add("organization.json", _profile(organization))
        for table in TABLES:
            add(f"{table.name}.csv", FORMATS["csv"].write(table.header, table.batches(organization)))
        add("requests.csv", _requests(organization, now=now, progress=progress))
        for folder, model, wanted in PAPERS:
            for subject in _subjects(organization, model, wanted):
                content = documents.open_document(subject, now=now)
                add(f"{folder}/{file_name(subject)}", iter((content,)))
                progress(folder, 1)
        manifest = {
            "format": FORMAT,
            "organization": organization.slug,
            "made_at": now.isoformat(),
            "files": files,
        }
        _add(archive, "manifest.json", iter((_json(manifest),)), now=now)


def _add(archive: zipfile.ZipFile, name: str, pieces: Iterator[bytes], *, now: datetime) -> dict[str, object]:
    """One file, and its entry in the manifest."""
    hashed, size = hashlib.sha256(), 0
    entry = zipfile.ZipInfo(name, date_time=now.timetuple()[:6])
    entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    with archive.open(entry, "w", force_zip64=True) as target:
        for piece in pieces:
            hashed.update(piece)
            size += target.write(piece)
    return {"name": name, "size": size, "sha256": hashed.hexdigest()}


def _profile(organization: Organization) -> Iterator[bytes]:
    with tenant_scope([organization.pk]):
        profile = BillingProfile.objects.for_organization(organization).get()
        told = {name: getattr(organization, name) for name in OF_ORGANIZATION}
        told["billing_profile"] = model_to_dict(profile, exclude=["organization", "tax_evidence"])
    yield _json(told)


def _requests(organization: Organization, *, now: datetime, progress: Progress) -> Iterator[bytes]:
    with tenant_scope([organization.pk]):
        rollups = UsageRollup.objects.for_organization(organization)
        first = rollups.aggregate(first=Min("hour"))["first"] or organization.created_at
    rows = export_rows(organization=organization, wanted=EventFilter(start=first, end=now + A_DAY))
    return FORMATS["csv"].write(HEADER, _counted(rows, progress))


def _counted(batches: Batches, progress: Progress) -> Batches:
    for rows in batches:
        yield rows
        progress("requests.csv", len(rows))


def _subjects(organization: Organization, model: type[Any], wanted: dict[str, str]) -> list[Subject]:
    with tenant_scope([organization.pk]):
        return list(_papers(organization, model, wanted).order_by("pk"))


def _papers(organization: Organization, model: type[Any], wanted: dict[str, str]) -> Any:
    return model.objects.for_organization(organization).filter(**wanted)


def _json(told: object) -> bytes:
    return json.dumps(told, ensure_ascii=False, indent=2, sort_keys=True, default=str).encode() + b"\n"
