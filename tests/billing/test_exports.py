"""All data of an organization as one file: whole, its own only, made again by another after a kill, thrown away after its time."""

import csv
import hashlib
import io
import json
import os
import signal
import zipfile
from datetime import datetime, timedelta

import pytest
from django.db import connections
from django.test import Client

from accounts.models import AuditEntry, User
from accounts.tenancy import tenant_scope
from billing import documents
from billing.closures import asking, finishing
from billing.exports import exporting
from billing.models import DataExport, Invoice
from billing.papers import document_files
from metering import export_rows
from tests.billing.collecting import AFTER, OCTOBER, meet_the_debtors, open_invoice
from tests.stories import PASSWORD, Cast, Company, use

LATER = AFTER + timedelta(hours=1)
ADDRESS = "/api/v1/exports"


@pytest.fixture
def cast(db: None) -> Cast:
    return meet_the_debtors()


@pytest.fixture
def invoice(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> Invoice:
    """Acme's, of five requests, which are read two at a time; its neighbour has one."""
    monkeypatch.setattr(export_rows, "BATCH", 2)
    for hours in range(4):
        use(cast.acme.organization, at=OCTOBER + timedelta(hours=hours))
    open_invoice(cast.globex)
    return open_invoice(cast.acme)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


def ask(company: Company, *, now: datetime = LATER) -> DataExport:
    return exporting.ask_for_export(organization_id=company.organization.pk, now=now, actor=company.owner)


def make(export: DataExport, *, now: datetime = LATER) -> DataExport | None:
    return exporting.make_export(organization_id=export.organization_id, export_id=export.pk, clock=lambda: now)


def row_of(export: DataExport) -> DataExport:
    return DataExport.objects.using("system").get(pk=export.pk)


def archive_of(export: DataExport) -> zipfile.ZipFile:
    return zipfile.ZipFile(document_files.absolute(row_of(export).path))


def rows_in(archive: zipfile.ZipFile, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(archive.read(name).decode("utf-8-sig"), newline="")))


def test_an_export_holds_everything_with_a_hash_of_each_file(cast: Cast, invoice: Invoice) -> None:
    export = ask(cast.acme)
    make(export)
    row = row_of(export)
    content = document_files.absolute(row.path).read_bytes()
    assert (row.status, row.sha256, row.size) == ("ready", hashlib.sha256(content).hexdigest(), len(content))
    assert (row.percent, row.expires_at) == (100, LATER + timedelta(days=7))
    archive = archive_of(export)
    manifest = json.loads(archive.read("manifest.json"))
    assert {one["name"] for one in manifest["files"]} == set(archive.namelist()) - {"manifest.json"}
    for one in manifest["files"]:
        assert hashlib.sha256(archive.read(one["name"])).hexdigest() == one["sha256"]
    assert len(rows_in(archive, "requests.csv")) == 5
    assert [one["number"] for one in rows_in(archive, "invoices.csv")] == [invoice.number]
    assert [one["user_email"] for one in rows_in(archive, "members.csv")] == [cast.acme.owner.email]
    assert archive.read(f"invoices/{invoice.number}.pdf").startswith(b"%PDF")
    [key] = rows_in(archive, "api_keys.csv")
    assert cast.acme.secret.startswith(key["prefix"])
    everything = b"".join(archive.read(name) for name in archive.namelist())
    assert cast.acme.secret.encode() not in everything
    assert b"globex" not in everything


def test_owners_ask_watch_and_download_over_rest_and_nobody_else(cast: Cast, invoice: Invoice) -> None:
    owner, stranger = signed_in(cast.acme.owner), signed_in(cast.globex.owner)
    refused = owner.post(ADDRESS)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "sign_in_too_old")
    assert owner.post("/accounts/reauthenticate/", {"password": PASSWORD, "next": "/"}).status_code == 302
    asked = owner.post(ADDRESS)
    assert (asked.status_code, asked.json()["status"]) == (202, "waiting")
    assert owner.post(ADDRESS).json()["id"] == asked.json()["id"], "one at a time"
    address = f"{ADDRESS}/{asked.json()['id']}"
    assert owner.get(f"{address}/file").status_code == 409
    [(organization_id, export_id)] = exporting.waiting_exports(now=LATER)
    exporting.make_export(organization_id=organization_id, export_id=export_id, clock=lambda: LATER)
    told = owner.get(address).json()
    assert (told["status"], told["percent"]) == ("ready", 100)
    assert signed_in(cast.acme.owner).get(f"{address}/file").json()["error"]["code"] == "sign_in_too_old"
    sent = b"".join(owner.get(f"{address}/file"))
    assert hashlib.sha256(sent).hexdigest() == told["sha256"]
    assert [one["id"] for one in owner.get(ADDRESS).json()["data"]] == [told["id"]]
    for path in (address, f"{address}/file", f"/o/acme/settings/export/{told['id']}"):
        assert stranger.get(path).status_code == 404
    assert stranger.get(f"/o/globex/settings/export/{told['id']}").status_code == 404
    assert Client(headers=cast.acme.headers).get(address).status_code == 403, "no key exports everything"
    page = b"".join(owner.get(f"/o/acme/settings/export/{told['id']}"))
    assert page == sent
    with tenant_scope([organization_id]):
        assert AuditEntry.objects.filter(action="export.downloaded").count() == 2


def test_killed_while_it_is_written_it_is_made_again_after_a_while(
    cast: Cast, invoice: Invoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents.render_document(organization_id=invoice.organization_id, subject_id=invoice.pk, now=LATER)
    export = ask(cast.acme)
    connections.close_all()
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(os, "replace", lambda *_paths: os.kill(os.getpid(), signal.SIGKILL))
        make(export)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert row_of(export).status == "running"
    assert not list(document_files.absolute("").rglob("export-*.zip"))
    assert exporting.waiting_exports(now=LATER) == [], "somebody may still be at it"
    later = LATER + exporting.SILENCE
    assert exporting.waiting_exports(now=later) == [(export.organization_id, export.pk)]
    assert make(export, now=later) is not None
    assert row_of(export).status == "ready"
    assert archive_of(export).testzip() is None


def test_who_was_taken_for_dead_finishes_nothing(cast: Cast, invoice: Invoice, monkeypatch: pytest.MonkeyPatch) -> None:
    export, later = ask(cast.acme), LATER + exporting.SILENCE
    real, runs = exporting.write_archive, []

    def slow(*args: object, **kwargs: object) -> None:
        if not runs:
            runs.append(1)
            make(export, now=later)
        real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(exporting, "write_archive", slow)
    assert make(export) is None
    row = row_of(export)
    assert (row.status, row.attempts, row.finished_at) == ("ready", 2, later)
    assert document_files.is_intact(row.path, sha256=row.sha256)


def test_what_fails_is_tried_again_and_given_up_at_last(
    cast: Cast, invoice: Invoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object, **_kwargs: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(exporting, "write_archive", full)
    export, now = ask(cast.acme), LATER
    for _attempt in range(exporting.MOST_ATTEMPTS):
        with pytest.raises(OSError, match="space"):
            make(export, now=now)
        now += exporting.SILENCE
    assert (row_of(export).status, row_of(export).failure) == ("failed", "OSError")
    assert exporting.waiting_exports(now=now) == []
    assert ask(cast.acme, now=now).pk != export.pk


def test_files_are_thrown_away_after_their_time(cast: Cast, invoice: Invoice) -> None:
    export = ask(cast.acme)
    make(export)
    path = document_files.absolute(row_of(export).path)
    assert exporting.throw_away(now=LATER + timedelta(days=7) - timedelta(seconds=1)) == 0
    assert path.exists()
    assert exporting.throw_away(now=LATER + timedelta(days=7)) == 1
    assert (path.exists(), row_of(export).status) == (False, "expired")


def test_five_exports_a_day_are_enough(cast: Cast, invoice: Invoice) -> None:
    for _number in range(exporting.MOST_A_DAY):
        make(ask(cast.acme))
    with pytest.raises(exporting.TooManyExports):
        ask(cast.acme)
    assert ask(cast.acme, now=LATER + timedelta(days=1, seconds=1)).status == "waiting"


def test_a_closed_organization_still_exports_until_it_is_out_of_sight(cast: Cast) -> None:
    asking.ask_for_closure(organization_id=cast.acme.organization.pk, at_once=True, now=OCTOBER, actor=cast.acme.owner)
    finishing.finish_all(now=OCTOBER + timedelta(minutes=2))
    owner = signed_in(cast.acme.owner)
    assert owner.get("/o/acme/settings/close").status_code in (200, 404)
    export = ask(cast.acme, now=OCTOBER + timedelta(minutes=2))
    make(export, now=OCTOBER + timedelta(minutes=2))
    assert json.loads(archive_of(export).read("organization.json"))["status"] == "closed"
