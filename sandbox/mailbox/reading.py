"""Takes a mail apart: headers, text and HTML, links, attachments. A broken mail is shown as far as it goes."""

import base64
import re
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html import unescape

_PLAIN_LINK = re.compile(r"https?://[^\s<>\"'()\[\]{}]+[^\s<>\"'()\[\]{}.,;:!?]")
_HREF = re.compile(r"""<a\b[^>]*?\bhref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+))""", re.IGNORECASE)
_CONTENT_TYPE = re.compile(r"[a-z0-9.+-]+/[a-z0-9.+-]+")
_CID = re.compile(r"""(["'(])cid:([^"')\s]+)""")
MAX_INLINE_BYTES = 4 * 1024 * 1024


@dataclass(slots=True, frozen=True)
class Attachment:
    """A file in a mail, or a picture that its HTML refers to by `content_id`."""

    filename: str
    content_type: str
    content_id: str
    content: bytes


@dataclass(slots=True)
class Mail:
    """A mail as a reader sees it; absent headers are empty."""

    sender: str = ""
    to: str = ""
    subject: str = ""
    date: str = ""
    message_id: str = ""
    text: str = ""
    html: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)

    @property
    def links(self) -> list[str]:
        """Web addresses in the order of the text, then those that only the HTML has; each once."""
        in_html = [unescape(next(filter(None, groups), "")).strip() for groups in _HREF.findall(self.html)]
        found = _PLAIN_LINK.findall(self.text) + [link for link in in_html if link.startswith(("http://", "https://"))]
        return list(dict.fromkeys(found))

    def html_with_pictures(self) -> str:
        """The HTML with its `cid:` pictures put in as data, so that nothing has to be loaded."""
        pictures = {
            attachment.content_id: attachment
            for attachment in self.attachments
            if attachment.content_id and attachment.content_type.startswith("image/")
        }

        def put_in(match: re.Match[str]) -> str:
            picture = pictures.get(match.group(2))
            if picture is None or len(picture.content) > MAX_INLINE_BYTES:
                return match.group(0)
            data = base64.b64encode(picture.content).decode()
            return f"{match.group(1)}data:{picture.content_type};base64,{data}"

        return _CID.sub(put_in, self.html)


def read_headers(content: bytes) -> Mail:
    """Only what a list shows; the body is not taken apart."""
    end = re.search(rb"\r?\n\r?\n", content)
    return _with_headers(_parse(content[: end.end()] if end else content))


def read_mail(content: bytes) -> Mail:
    message = _parse(content)
    mail = _with_headers(message)
    text, html = (_body(message, kind) for kind in ("plain", "html"))
    mail.text, mail.html = _text_of(text), _text_of(html)
    for part in message.walk():
        if part.is_multipart() and part.get_content_type() != "message/rfc822":
            continue
        if part is not text and part is not html and isinstance(part, EmailMessage):
            mail.attachments.append(_attachment(part, number=len(mail.attachments) + 1))
    return mail


def _parse(content: bytes) -> EmailMessage:
    message = message_from_bytes(content, policy=default)
    assert isinstance(message, EmailMessage)
    return message


def _with_headers(message: EmailMessage) -> Mail:
    headers = []
    for name in message:
        try:
            value = str(message[name])
        except Exception:  # the standard parser raises all sorts of errors on broken headers
            value = "?"
        headers.append((name, value))
    named = {name.lower(): value for name, value in reversed(headers)}
    return Mail(
        sender=named.get("from", ""),
        to=named.get("to", ""),
        subject=named.get("subject", ""),
        date=named.get("date", ""),
        message_id=named.get("message-id", ""),
        headers=headers,
    )


def _body(message: EmailMessage, kind: str) -> EmailMessage | None:
    try:
        found = message.get_body(preferencelist=(kind,))
    except Exception:
        return None
    return found if isinstance(found, EmailMessage) else None


def _text_of(part: EmailMessage | None) -> str:
    if part is None:
        return ""
    try:
        return str(part.get_content()).replace("\r\n", "\n")
    except (LookupError, UnicodeError, KeyError):
        return _raw(part).decode("utf-8", errors="replace")


def _attachment(part: EmailMessage, *, number: int) -> Attachment:
    try:
        filename = part.get_filename() or ""
    except Exception:
        filename = ""
    kind = part.get_content_type()
    return Attachment(
        filename=filename or f"part-{number}",
        content_type=kind if _CONTENT_TYPE.fullmatch(kind) else "application/octet-stream",
        content_id=str(part.get("Content-ID", "")).strip().strip("<>"),
        content=_raw(part),
    )


def _raw(part: EmailMessage) -> bytes:
    if part.is_multipart():
        return b"".join(inner.as_bytes() for inner in part.get_payload() if isinstance(inner, EmailMessage))
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""
