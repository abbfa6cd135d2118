"""The mailbox stand-in: mails go in through smtplib and come out as JSON and as pages."""

import smtplib
import threading
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.sandbox.processes import StandIn, stand_in

PDF = b"%PDF-1.7\n" + bytes(range(256))


@pytest.fixture(scope="module")
def mailbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    folder = tmp_path_factory.mktemp("mails")
    with stand_in("mailbox", "--smtp-port", "0", "--directory", str(folder), "--keep", "5") as running:
        yield running


@pytest.fixture(autouse=True)
def _empty(request: pytest.FixtureRequest) -> None:
    if "mailbox" in request.fixturenames:
        running = request.getfixturevalue("mailbox")
        running.call("DELETE", "/api/messages")
        running.call("DELETE", "/sandbox/faults")


def connect(mailbox: StandIn) -> smtplib.SMTP:
    return smtplib.SMTP("127.0.0.1", mailbox.started["smtp_port"], local_hostname="test", timeout=5)


def letter(**more: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "인보이스랩 <billing@example.com>"
    message["To"] = more.get("to", "kim@acme.example")
    message["Subject"] = more.get("subject", "2026년 10월 청구서")
    message["Message-ID"] = "<invoice-1@example.com>"
    message.set_content("안녕하세요.\nhttps://example.com/verify?key=1&x=2. 감사합니다.")
    message.add_alternative(
        '<p>안녕하세요 <a href="https://example.com/pay?a=1&amp;b=2">결제</a><img src="cid:logo"></p>'
        "<script>document.title = 'ran'</script><img src='https://tracker.example/x.gif'>",
        subtype="html",
    )
    html = message.get_payload()[1]
    html.add_related(b"\x89PNG...", "image", "png", cid="<logo>")
    message.add_attachment(PDF, maintype="application", subtype="pdf", filename="청구서 10월.pdf")
    return message


def send(mailbox: StandIn, message: EmailMessage) -> None:
    with connect(mailbox) as smtp:
        smtp.send_message(message)


def test_a_mail_comes_out_as_it_went_in(mailbox):
    send(mailbox, letter())
    (listed,) = mailbox.get("/api/messages")["messages"]
    assert listed["to"] == ["kim@acme.example"]
    assert listed["subject"] == "2026년 10월 청구서"
    mail = mailbox.get(f"/api/messages/{listed['id']}")
    assert mail["from"] == "인보이스랩 <billing@example.com>"
    assert mail["message_id"] == "<invoice-1@example.com>"
    assert mail["text"].startswith("안녕하세요.\nhttps://example.com/verify")
    assert "결제" in mail["html"]
    assert mail["links"] == ["https://example.com/verify?key=1&x=2", "https://example.com/pay?a=1&b=2"]
    assert [(a["n"], a["filename"], a["content_type"]) for a in mail["attachments"]] == [
        (0, "part-1", "image/png"),
        (1, "청구서 10월.pdf", "application/pdf"),
    ]
    status, headers, content = mailbox.call("GET", f"/api/messages/{listed['id']}/attachments/1")
    assert status == 200 and content == PDF
    assert headers["content-disposition"].startswith("attachment;")
    assert mailbox.call("GET", f"/api/messages/{listed['id']}/attachments/9")[0] == 404
    assert mailbox.call("GET", "/api/messages/1")[0] == 404


def test_lists_are_filtered(mailbox):
    for name in ("kim", "lee+tag", "kim"):
        send(mailbox, letter(to=f"{name}@acme.example", subject=name))
    newest, _, oldest = mailbox.get("/api/messages")["messages"]
    assert len(mailbox.get("/api/messages?to=KIM@acme.example")["messages"]) == 2
    assert [m["subject"] for m in mailbox.get("/api/messages?to=lee+tag@acme.example")["messages"]] == ["lee+tag"]
    assert mailbox.get(f"/api/messages?after={newest['id']}")["messages"] == []
    assert mailbox.get(f"/api/messages?after={oldest['id']}")["count"] == 2
    assert mailbox.get(f"/api/messages?after={oldest['received_at']}")["count"] == 2
    assert mailbox.call("GET", "/api/messages?after=yesterday")[0] == 400


def test_only_the_newest_are_kept(mailbox):
    for number in range(7):
        send(mailbox, letter(subject=f"mail {number}"))
    assert [m["subject"] for m in mailbox.get("/api/messages")["messages"]] == [f"mail {n}" for n in (6, 5, 4, 3, 2)]


@pytest.mark.parametrize(
    ("language", "expected"),
    [("ko", "받은 메일"), ("en-US,en;q=0.9,ko;q=0.5", "Inbox"), ("fr", "받은 메일"), ("", "받은 메일")],
)
def test_pages_speak_the_readers_language(mailbox, language, expected):
    send(mailbox, letter())
    _, headers, raw = mailbox.call("GET", "/", headers={"Accept-Language": language})
    page = raw.decode()
    assert expected in page and "2026년 10월 청구서" in page
    assert "script-src" not in headers["content-security-policy"]
    assert "default-src 'none'" in headers["content-security-policy"]


def test_a_mail_is_shown_harmlessly(mailbox):
    send(mailbox, letter(subject="<script>alert(1)</script>"))
    mail_id = mailbox.get("/api/messages")["messages"][0]["id"]
    page = mailbox.call("GET", f"/messages/{mail_id}")[2].decode()
    assert "<script" not in page and "&lt;script&gt;alert(1)" in page
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in page
    _, headers, raw = mailbox.call("GET", f"/messages/{mail_id}/html")
    assert headers["content-security-policy"].startswith("sandbox allow-popups")
    assert "img-src data:;" in headers["content-security-policy"]
    assert b"data:image/png;base64," in raw and b"cid:logo" not in raw
    assert mailbox.call("GET", "/messages/1")[0] == 404


def test_forms_of_other_sites_are_refused(mailbox):
    send(mailbox, letter())
    assert mailbox.call("POST", "/delete", b"", {"Origin": "http://evil.example"})[0] == 403
    assert mailbox.get("/api/messages")["count"] == 1
    assert mailbox.call("POST", "/delete", b"", {"Origin": mailbox.url})[0] == 200
    assert mailbox.get("/api/messages")["count"] == 0


def test_refused_recipient(mailbox):
    mailbox.order({"fault": "refuse-recipient", "where": "lee@"})
    send(mailbox, letter(to="kim@acme.example"))
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        send(mailbox, letter(to="lee@acme.example"))
    send(mailbox, letter(to="lee@acme.example"))
    assert mailbox.get("/api/messages")["count"] == 2


def test_temporary_failure_keeps_nothing(mailbox):
    mailbox.order("temporary-451")
    with pytest.raises(smtplib.SMTPDataError) as caught:
        send(mailbox, letter())
    assert caught.value.smtp_code == 451
    assert mailbox.get("/api/messages")["count"] == 0


def test_drop_after_data_keeps_the_mail(mailbox):
    mailbox.order("drop-after-data")
    with pytest.raises(smtplib.SMTPServerDisconnected):
        send(mailbox, letter())
    send(mailbox, letter())
    assert [m["message_id"] for m in mailbox.get("/api/messages")["messages"]] == ["<invoice-1@example.com>"] * 2


def test_slow_after_data_keeps_the_mail_before_it_says_so(mailbox):
    mailbox.order("slow-after-data:0.5")
    sending = threading.Thread(target=send, args=(mailbox, letter()))
    sending.start()
    while not mailbox.get("/api/messages")["messages"]:
        time.sleep(0.01)
    assert sending.is_alive()
    sending.join()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no header at all",
        b"Subject: =?utf-8?q?broken=\r\nFrom: \xff\xfe\r\nContent-Type: text/html; charset=nonsense\r\n\r\n<p>\xea\xb0",
        b"Content-Type: multipart/mixed; boundary=x\r\nTo: <<>>,,@\r\n\r\n"
        b"--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nhi",
        b"Content-Type: multipart/mixed\r\n\r\nno boundary",
    ],
)
def test_broken_mails_are_shown_as_far_as_they_go(mailbox, raw):
    with connect(mailbox) as smtp:
        smtp.sendmail("a@b.example", ["kim@acme.example"], raw)
    (listed,) = mailbox.get("/api/messages")["messages"]
    for path in ("/", f"/messages/{listed['id']}", f"/messages/{listed['id']}/html", f"/api/messages/{listed['id']}"):
        assert mailbox.call("GET", path)[0] == 200, path


def test_a_login_is_accepted(mailbox):
    with connect(mailbox) as smtp:
        smtp.login("any", "thing")
        smtp.send_message(letter())
    assert mailbox.get("/api/messages")["count"] == 1


def test_a_restart_keeps_the_mails(tmp_path: Path):
    arguments = ("--smtp-port", "0", "--directory", str(tmp_path / "mails"))
    with stand_in("mailbox", *arguments) as first:
        send(first, letter())
        before = first.get("/api/messages")
        assert first.stop() == 0
    (tmp_path / "mails" / "stray.mail").write_bytes(b"not ours\n")
    with stand_in("mailbox", *arguments) as second:
        assert second.get("/api/messages") == before
        assert second.get("/readyz") == {"status": "ok"}
        send(second, letter())
        assert second.get(f"/api/messages?after={before['messages'][0]['id']}")["count"] == 1
