"""Reports of mail servers about mails that they had taken: read from a Maildir or over IMAP, noted once; poison stops no other."""

import socketserver
import threading
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core import mail as django_mail
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from accounts.models import Alarm
from billing import delivery, documents
from billing.mail import outbox
from billing.mail.reading_reports import ReportsRead, read_reports
from billing.models import BouncingAddress, OutboxMail
from billing.tasks import read_mail_reports
from tests.billing.collecting import AFTER, meet_the_debtors, open_invoice

LATER = AFTER + timedelta(hours=1)
REPORT = """\
From: MAILER-DAEMON@mx.example
To: {to}
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

Sorry.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example
Arrival-Date: Sun, 22 Nov 2026 12:00:00 +0900

Final-Recipient: rfc822; owner@acme.example
Action: {action}
Status: {status}
Diagnostic-Code: smtp; 550 {status} No such\x00 user

--b
Content-Type: {quoted}

Message-ID: {message_id}
Subject: [InvoiceDream]

--b--
"""
POISON = [b"", b"\xff\xfe\x00" * 50, b"Subject: hello\n\nWhere is my invoice?", REPORT.replace("Action", "X").encode()]


@pytest.fixture
def folder(db: None, tmp_path: Path, settings: Settings) -> Path:
    for name in ("new", "cur", "tmp"):
        (tmp_path / "mails" / name).mkdir(parents=True)
    settings.BOUNCE_MAILBOX = f"maildir://{tmp_path}/mails"
    return tmp_path / "mails"


@pytest.fixture
def sent(folder: Path) -> OutboxMail:
    """The mail of acme's invoice, which its server took."""
    invoice = open_invoice(meet_the_debtors().acme)
    documents.render_document(organization_id=invoice.organization_id, subject_id=invoice.pk, now=AFTER)
    mail = OutboxMail.objects.using("system").get(invoice=invoice, kind=OutboxMail.Kind.INVOICE)
    assert delivery.deliver(organization_id=mail.organization_id, mail_id=mail.pk, now=AFTER) == "sent"
    return mail


def report(
    mail: OutboxMail, *, action: str = "failed", status: str = "5.1.1", to: str = "", message_id: str | None = None,
    quoted: str = "text/rfc822-headers",
) -> bytes:  # fmt: skip
    message_id = mail.message_id if message_id is None else message_id
    to = to or "billing@invoicedream.example"
    return REPORT.format(to=to, action=action, status=status, message_id=message_id, quoted=quoted).encode()


def drop(folder: Path, *raws: bytes) -> None:
    for raw in raws:
        (folder / "new" / f"{len(list(folder.rglob('*.host*'))):03}.host").write_bytes(raw)


def flags(folder: Path) -> list[str]:
    return sorted(path.name.partition(":2,")[2] for path in (folder / "cur").iterdir())


def standing(mail: OutboxMail) -> tuple[str, str]:
    mail.refresh_from_db(using="system")
    return mail.status, mail.last_error


def bounced() -> list[str]:
    return list(BouncingAddress.objects.using("system").filter(cleared_at=None).values_list("address", flat=True))


@pytest.mark.parametrize("quoted", ["text/rfc822-headers", "message/rfc822"])
def test_an_address_refused_later_is_noted_on_mail_and_address_once(
    sent: OutboxMail, folder: Path, quoted: str
) -> None:
    drop(folder, report(sent, quoted=quoted))
    assert read_reports(now=LATER) == ReportsRead(refused=1)
    assert standing(sent) == ("bounced", "5.1.1 550 5.1.1 No such\N{REPLACEMENT CHARACTER} user")
    assert bounced() == ["owner@acme.example"] and flags(folder) == ["S"]
    assert read_reports(now=LATER) == ReportsRead(), "it was read"


def test_a_server_that_gave_up_or_is_late_is_not_an_address_that_is_wrong(sent: OutboxMail, folder: Path) -> None:
    drop(folder, report(sent, action="delayed", status="4.4.1"), report(sent, action="relayed", status="2.0.0"))
    assert read_reports(now=LATER) == ReportsRead(delayed=1, known=1)
    assert standing(sent)[0] == "sent" and standing(sent)[1].startswith("4.4.1")
    drop(folder, report(sent, status="4.4.7"))
    assert read_reports(now=LATER) == ReportsRead(given_up=1)
    assert standing(sent)[0] == "failed" and bounced() == []


def test_a_report_read_again_says_nothing_of_a_mail_that_was_sent_again(sent: OutboxMail, folder: Path) -> None:
    """Killed before it was marked in the folder, or restored from a backup of it."""
    drop(folder, report(sent))
    read_reports(now=LATER)
    whose = sent.organization_id
    assert outbox.send_again(organization_id=whose, mail_id=sent.pk, reason="Corrected", now=LATER, actor=None)
    drop(folder, report(sent), report(sent, status="5.7.1"))
    assert read_reports(now=LATER) == ReportsRead(known=2), "both are of the first sending"
    assert delivery.deliver(organization_id=whose, mail_id=sent.pk, now=LATER) == "sent"
    drop(folder, report(sent))
    assert read_reports(now=LATER) == ReportsRead(known=1)
    assert standing(sent)[0] == "sent" and bounced() == []


def test_what_cannot_be_used_is_flagged_and_stops_no_other(sent: OutboxMail, folder: Path) -> None:
    stranger = report(sent, message_id="<somebody@else.example>")
    drop(folder, *POISON, stranger, report(sent, message_id="<\x00@x>"), report(sent))
    assert read_reports(now=LATER) == ReportsRead(left=6, refused=1)
    assert standing(sent)[0] == "bounced"
    assert flags(folder) == ["FS"] * 6 + ["S"] and not list((folder / "new").iterdir())


def test_the_address_it_came_to_tells_the_mail(sent: OutboxMail, folder: Path, settings: Settings) -> None:
    settings.BOUNCE_ADDRESS = "bounces@invoicedream.example"
    OutboxMail.objects.using("system").filter(pk=sent.pk).update(status="waiting", next_attempt_at=AFTER)
    assert delivery.deliver(organization_id=sent.organization_id, mail_id=sent.pk, now=LATER) == "sent"
    letter = django_mail.outbox[-1]
    assert letter.from_email == f"bounces+{sent.pk.hex}@invoicedream.example"
    assert "billing@invoicedream.example" in letter.message()["From"]
    drop(folder, report(sent, to=letter.from_email, message_id="none"))
    assert read_reports(now=LATER) == ReportsRead(refused=1)


def test_the_command_tells_what_it_read_and_why_it_cannot(sent: OutboxMail, folder: Path, settings: Settings) -> None:
    drop(folder, report(sent))
    told = StringIO()
    call_command("read_mail_reports", stdout=told)
    assert told.getvalue().startswith("1 refused for good, 0 given up")
    for url, why in (
        ("", "not set"),
        ("maildir:///nowhere", "no Maildir"),
        ("maildir:///" + "x" * 300, "too long|no Maildir"),
        ("ftp://x", "must begin"),
        ("imap://127.0.0.1:1/", "refused"),
    ):
        settings.BOUNCE_MAILBOX = url
        with pytest.raises(CommandError, match=why):
            call_command("read_mail_reports", stdout=told)


def test_a_folder_that_cannot_be_read_is_an_alarm_until_it_can(folder: Path, settings: Settings) -> None:
    def open_alarms() -> list[str]:
        return list(Alarm.objects.using("system").filter(cleared_at=None).values_list("summary", flat=True))

    read_mail_reports()
    assert open_alarms() == []
    readable = settings.BOUNCE_MAILBOX
    settings.BOUNCE_MAILBOX = "imap://bounces:hush@127.0.0.1:1/"
    read_mail_reports()
    read_mail_reports()
    [summary] = open_alarms()
    assert "cannot be read. 127.0.0.1: " in summary
    assert "hush" not in summary
    settings.BOUNCE_MAILBOX = readable
    read_mail_reports()
    assert open_alarms() == []
    (folder / "cur").rename(folder / "gone")
    read_mail_reports()
    assert "is no Maildir" in open_alarms()[0]
    settings.BOUNCE_MAILBOX = ""
    read_mail_reports()
    assert open_alarms() == [], "nothing is to be read any more"


class Imap(socketserver.StreamRequestHandler):
    """As much of an IMAP server as is asked: mails by number, flags that stay."""

    mails: list[bytes] = []
    flags: dict[int, str] = {}

    def handle(self) -> None:
        self.wfile.write(b"* OK ready\r\n")
        while line := self.rfile.readline().decode():
            tag, command, *words = line.split()
            if command == "CAPABILITY":
                self.wfile.write(b"* CAPABILITY IMAP4rev1\r\n")
            if words[:1] == ["SEARCH"]:
                unread = " ".join(str(number + 1) for number in range(len(self.mails)) if number + 1 not in self.flags)
                self.wfile.write(f"* SEARCH {unread}\r\n".encode())
            if words[:1] == ["FETCH"]:
                raw = self.mails[int(words[1]) - 1]
                self.wfile.write(
                    f"* {words[1]} FETCH (UID {words[1]} BODY[]<0> {{{len(raw)}}}\r\n".encode() + raw + b")\r\n"
                )
            if words[:1] == ["STORE"]:
                self.flags[int(words[1])] = " ".join(words[3:])
            refused = command == "LOGIN" and '"right"' not in words
            self.wfile.write(f"{tag} {'NO wrong password' if refused else 'OK done'}\r\n".encode())


@pytest.fixture
def imap(settings: Settings) -> Iterator[int]:
    Imap.mails, Imap.flags = [], {}
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Imap) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        settings.BOUNCE_MAILBOX = f"imap://bounces:right@127.0.0.1:{port}/INBOX"
        yield port
        server.shutdown()


def test_a_folder_over_imap_is_read_and_marked(sent: OutboxMail, imap: int, settings: Settings) -> None:
    Imap.mails = [POISON[2], report(sent)]
    assert read_reports(now=LATER) == ReportsRead(refused=1, left=1)
    assert Imap.flags == {1: r"(\Seen \Flagged)", 2: r"(\Seen)"}
    assert read_reports(now=LATER) == ReportsRead()
    settings.BOUNCE_MAILBOX = f"imap://bounces:wrong@127.0.0.1:{imap}/INBOX"
    with pytest.raises(CommandError, match="wrong password"):
        call_command("read_mail_reports", stdout=StringIO())
