"""Mails whose subject begins on the line of its name.

Python breaks a header of encoded words that is longer than a line before its first word, and several mail programs show that as a
leading blank.
"""

from email.header import Header
from email.message import Message
from typing import cast

from django.core.mail import EmailMessage, EmailMultiAlternatives


class Mail(EmailMultiAlternatives):
    """A message of text and HTML."""

    def message(self) -> Message:  # type: ignore[override]
        message = cast(Message, super().message())
        subject = Header(str(self.subject), "utf-8", header_name="Subject", maxlinelen=75)
        message.replace_header("Subject", subject.encode(linesep=""))
        return message


def with_whole_subject(message: EmailMessage) -> EmailMessage:
    """The same mail as such a message, if it has text beside HTML."""
    if not isinstance(message, EmailMultiAlternatives):
        return message
    mail = Mail(message.subject, message.body, message.from_email, message.to, headers=message.extra_headers)
    mail.alternatives = message.alternatives
    return mail
