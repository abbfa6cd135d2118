"""Send mails again that were given up: one, or all of a kind once what kept them back is repaired. And one that was sent, anew."""

from collections import Counter
from datetime import datetime
from typing import Any

from django import forms
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts.models import BillingProfile
from billing.mail import mails, outbox
from billing.models import Invoice, OutboxMail
from console.deeds import Deed, DeedForm, Refused, Row, add_deed
from console.figures import figure
from console.own_words import in_words
from console.read_only import address_of, list_of
from console.standing import ReasonForm

SHOWN_REASONS = 5


class MailDeed(Deed):
    """On one mail."""

    def prepare(self, pk: Any) -> None:
        self.mail = get_object_or_404(OutboxMail.objects.select_related("organization", "invoice"), pk=pk)

    def back(self) -> str:
        return address_of(self.mail)


class SendAgain(MailDeed):
    form_class = ReasonForm
    title = _("Send the mail again")
    lead = _(
        "It goes back into the outbox and out within a minute, worded as the invoice stands then, under the same Message-ID."
    )
    button = _("Send again")

    def facts(self) -> list[Row]:
        return [
            (_("Kind"), self.mail.get_kind_display()),
            (_("Recipient"), self.mail.recipient),
            (_("organization"), self.mail.organization),
            (_("Attempts"), figure("tokens")(self.mail.attempts)),
            (_("Last error"), in_words("last_error", self.mail.last_error) or "–"),
        ]

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        self._check()
        return [*self.facts(), (_("Reason"), values["reason"])]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        self._check()
        if not outbox.send_again(
            organization_id=self.mail.organization_id,
            mail_id=self.mail.pk,
            reason=values["reason"],
            now=now,
            actor=self.request.user,
        ):
            raise Refused(gettext("The mail is not given up any more. Please look at it again."))
        return gettext("The mail to %(recipient)s is in the outbox again.") % {"recipient": self.mail.recipient}

    def _check(self) -> None:
        if self.mail.status not in outbox.GIVEN_UP_STATUSES:
            raise Refused(gettext("Only a mail that was given up is sent again; others go out by themselves."))
        if not may_be_sent_again(self.mail):
            raise Refused(gettext("Its invoice is void, so it is not mailed any more."))


class AnewForm(ReasonForm):
    recipient = forms.EmailField(
        label=_("Recipient"),
        help_text=_("An invitation goes to the invited address only."),
    )
    copy = forms.IntegerField(min_value=1, max_value=999, widget=forms.HiddenInput)
    field_order = ("recipient", "reason", "copy")


class SendAnew(MailDeed):
    """A message of its own: under the old Message-ID a mail program would show only the one that it has already."""

    form_class = AnewForm
    title = _("Send the mail once more")
    lead = _(
        "A new message, worded as things stand then, to the same address or another. The one that was sent stays as it is."
    )
    button = _("Send once more")

    def initial(self) -> dict[str, Any]:
        return {"recipient": self._address_now(), "copy": mails.copies_of(self.mail) + 1}

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        self._check(values)
        return [
            (_("Kind"), self.mail.get_kind_display()),
            (_("organization"), self.mail.organization),
            (_("Sent at"), figure("table_time")(self.mail.sent_at)),
            (_("Sent to"), self.mail.recipient),
            (_("Recipient"), values["recipient"]),
            (_("Reason"), values["reason"]),
        ]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        self._check(values)
        again = mails.send_anew(
            mail=self.mail,
            recipient=values["recipient"],
            copy=values["copy"],
            reason=values["reason"],
            now=now,
            actor=self.request.user,
        )
        if again is None:
            raise Refused(gettext("It was sent once more already. Please look at the list of mails."))
        self.mail = again
        return gettext("A new mail to %(recipient)s is in the outbox.") % {"recipient": again.recipient}

    def _check(self, values: dict[str, Any]) -> None:
        if self.mail.status != OutboxMail.Status.SENT:
            raise Refused(gettext("Only a mail that was sent can be sent once more."))
        if not may_be_sent_anew(self.mail):
            raise Refused(gettext("Its invoice is void, so it is not mailed any more."))
        if self.mail.kind == OutboxMail.Kind.INVITATION and values["recipient"] != self.mail.recipient:
            raise Refused(gettext("An invitation goes to the invited address only."))

    def _address_now(self) -> str:
        """Of what concerns an invoice today's billing contact, else whom it went to."""
        profile = BillingProfile.objects.filter(organization=self.mail.organization).first()
        return (profile.contact_email if profile and self.mail.invoice else "") or self.mail.recipient


class AllAgainForm(ReasonForm):
    kind = forms.ChoiceField(label=_("Kind"), required=False)
    field_order = ("kind", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["kind"].choices = [("", _("All")), *OutboxMail.Kind.choices]


class SendAllAgain(Deed):
    form_class: type[DeedForm] = AllAgainForm
    title = _("Send all failed mails again")
    lead = _(
        "For the day after an outage: what was given up goes back into the outbox. Mails of void invoices stay where they are."
    )
    button = _("Send all again")

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        found = outbox.given_up().filter(kind=values["kind"]) if values["kind"] else outbox.given_up()
        errors = Counter(found.values_list("last_error", flat=True))
        if not errors:
            raise Refused(gettext("No mail was given up."))
        return [
            (_("Kind"), dict(OutboxMail.Kind.choices).get(values["kind"], _("All"))),
            (_("Mails"), figure("tokens")(errors.total())),
            *(
                (in_words("last_error", error) or "–", figure("tokens")(count))
                for error, count in errors.most_common(SHOWN_REASONS)
            ),
            (_("Reason"), values["reason"]),
        ]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        count = outbox.send_all_again(kind=values["kind"], reason=values["reason"], now=now, actor=self.request.user)
        if not count:
            raise Refused(gettext("No mail was given up."))
        return ngettext("%(count)d mail is in the outbox again.", "%(count)d mails are in the outbox again.", count) % {
            "count": count
        }

    def back(self) -> str:
        return list_of(OutboxMail)


def may_be_sent_again(mail: OutboxMail) -> bool:
    """Whether sending it could succeed: it was given up, and is not of an invoice that is void."""
    return mail.status in outbox.GIVEN_UP_STATUSES and not _is_of_void_invoice(mail)


def may_be_sent_anew(mail: OutboxMail) -> bool:
    return mail.status == OutboxMail.Status.SENT and not _is_of_void_invoice(mail)


def _is_of_void_invoice(mail: OutboxMail) -> bool:
    is_invoice = mail.kind == OutboxMail.Kind.INVOICE and mail.invoice is not None
    return is_invoice and mail.invoice.status == Invoice.Status.VOID


add_deed("mails/<uuid:pk>/again/", SendAgain, name="send_again")
add_deed("mails/<uuid:pk>/anew/", SendAnew, name="send_anew")
add_deed("mails/again/", SendAllAgain, name="send_all_again")
