"""The outbox: every mail that must go out, how often it was tried, why it did not, and what it says."""

import logging
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import escape, format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from billing.mail.mail_texts import Letter, compose
from billing.mail.outbox import GIVEN_UP
from billing.models import OutboxMail
from console.figures import count_column, figure, named
from console.mail_deeds import may_be_sent_again, may_be_sent_anew
from console.money import CUSTOMER
from console.read_only import ReadOnlyAdmin, linked, state_column
from console.site import site
from console.words import FIELDS

TONES = {"sent": "success", "waiting": "info", "failed": "danger", "bounced": "danger"}
logger = logging.getLogger(__name__)


class GivenUp(admin.SimpleListFilter):
    """Those that should have gone out and will not by themselves."""

    title = _("sending")
    parameter_name = "given_up"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("Given up"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[OutboxMail]) -> QuerySet[OutboxMail]:
        return queryset.filter(GIVEN_UP) if self.value() == "yes" else queryset


def next_attempt(mail: OutboxMail) -> str:
    """Only a mail that waits is tried again."""
    return figure("table_time")(mail.next_attempt_at) if mail.status == OutboxMail.Status.WAITING else "–"


def letter_of(mail: OutboxMail) -> Letter | None:
    """What the mail would say now, an invitation without its token; None if it cannot be worded. Worded once a page."""
    if not hasattr(mail, "letter"):
        try:
            mail.letter = compose(mail, without_token=True)
        except Exception as error:  # the page must open, above all for a mail that cannot be made
            logger.warning(
                "a mail cannot be previewed", extra={"mail": str(mail.pk), "error_type": type(error).__name__}
            )
            mail.letter = None
    return mail.letter


def subject(mail: OutboxMail) -> Any:
    letter = letter_of(mail)
    if letter is None:
        return gettext("It cannot be worded: what it tells of is missing.")
    return format_html('<span lang="{}">{}</span>', mail.language, letter.subject)


def text(mail: OutboxMail) -> Any:
    letter = letter_of(mail)
    if letter is None:
        return "–"
    return format_html('<pre class="raw" tabindex="0" lang="{}">{}</pre>', mail.language, escape(letter.text))


def html(mail: OutboxMail) -> Any:
    """In a frame of its own in which nothing runs, is sent or leads anywhere.

    What a template rendered counts as safe, so it has to be escaped on purpose to become an attribute.
    """
    letter = letter_of(mail)
    if letter is None:
        return "–"
    frame = (
        '<iframe class="mail-frame" sandbox="" referrerpolicy="no-referrer" lang="{}" title="{}" srcdoc="{}"></iframe>'
    )
    return format_html(frame, mail.language, letter.subject, escape(letter.html))


@admin.register(OutboxMail, site=site)
class OutboxMailAdmin(ReadOnlyAdmin):
    list_display = (
        "created_at",
        "kind",
        "recipient",
        CUSTOMER,
        linked("of_invoice", _("invoice"), lambda row: row.invoice),
        state_column(_("Status"), TONES),
        count_column("attempts", _("Attempts")),
        "sent_at",
        "last_error",
    )
    list_filter = (GivenUp, "status", "kind", "language", "organization")
    search_fields = ("recipient", "invoice__number", "message_id", "organization__name")
    list_select_related = ("organization", "invoice")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    list_deeds = ((_("Send all failed mails again"), "admin:send_all_again"),)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "kind",
                    "recipient",
                    CUSTOMER,
                    linked("of_invoice", _("invoice"), lambda row: row.invoice),
                    state_column(_("Status"), TONES),
                    count_column("attempts", _("Attempts")),
                    "created_at",
                    named("next_attempt", FIELDS["next_attempt_at"], next_attempt),
                    "sent_at",
                    "last_error",
                    "message_id",
                    "language",
                )
            },
        ),
        (
            _("As it would go out now"),
            {
                "fields": (
                    named("subject", _("Subject"), subject),
                    named("mail_html", _("HTML"), html),
                    named("mail_text", _("Text"), text),
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[OutboxMail]:
        return super().get_queryset(request).select_related("organization", "invoice__period")

    def deeds(self, obj: OutboxMail) -> list[tuple[Any, str]]:
        if may_be_sent_again(obj):
            return [(_("Send again"), reverse("admin:send_again", args=[obj.pk]))]
        return [(_("Send once more"), reverse("admin:send_anew", args=[obj.pk]))] if may_be_sent_anew(obj) else []
