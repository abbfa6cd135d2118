"""The audit log: who did what to whom, for good."""

from django.contrib import admin
from django.contrib.admin import display
from django.utils.translation import gettext_lazy as _

from accounts.models import AuditEntry
from console.audit_details import audit_details
from console.money import CUSTOMER
from console.own_words import words_filter
from console.read_only import ReadOnlyAdmin
from console.site import site

ACTIONS = {
    "organization.created": _("Organization created"),
    "organization.suspended": _("Organization suspended"),
    "organization.reactivated": _("Organization reactivated"),
    "closure.asked": _("Closure asked for"),
    "closure.withdrawn": _("Closure taken back"),
    "closure.carried_out": _("Closure carried out"),
    "closure.settled": _("Organization closed"),
    "export.asked": _("Data export asked for"),
    "export.downloaded": _("Data export downloaded"),
    "dunning_policy.set": _("Dunning schedule set"),
    "bank_statement.imported": _("Bank statement imported"),
    "deposit.matched": _("Deposit matched"),
    "deposit.set_aside": _("Deposit set aside"),
    "operator.created": _("Operator created"),
    "operator.signed_in": _("Operator signed in"),
    "api_key.issued": _("API key issued"),
    "api_key.rate_limits_set": _("Limits a minute of an API key set"),
    "organization.rate_limits_set": _("Limits a minute of an organization set"),
    "api_key.revoked": _("API key revoked"),
    "api_key.rotated": _("API key rotated"),
    "api_key.overlap_ended": _("Overlap of a rotated API key ended"),
    "billing_profile.changed": _("Billing profile changed"),
    "organization.changed": _("Organization changed"),
    "tags.declared": _("Tags declared"),
    "payment.succeeded": _("Payment succeeded"),
    "payment.failed": _("Payment failed"),
    "payment.canceled": _("Payment canceled"),
    "payment.cancel_asked": _("End of a payment attempt asked for"),
    "mail.sent_again": _("Mail sent again"),
    "mail.sent_anew": _("Mail sent once more"),
    "mail.sample_sent": _("Sample of a mail sent to the operator"),
    "upstream.added": _("Upstream added"),
    "upstream.edited": _("Upstream edited"),
    "route.added": _("Model route added"),
    "route.edited": _("Model route edited"),
    "hold.waived": _("Call without a known cost waived"),
    "hold.estimated": _("Call without a known cost charged by hand"),
    "seller.set": _("Seller details entered"),
    "source.added": _("Usage source added"),
    "source.organizations_set": _("Organizations of a usage source chosen"),
    "service_key.issued": _("Service key issued"),
    "service_key.rotated": _("Service key replaced"),
    "service_key.revoked": _("Service key revoked"),
    "member.invited": _("Member invited"),
    "member.invited_again": _("Member invited again"),
    "member.joined": _("Member joined"),
    "member.left": _("Member left"),
    "member.removed": _("Member removed"),
    "member.role_changed": _("Role changed"),
    "invitation.canceled": _("Invitation canceled"),
    "spend_limit.set": _("Spend limit set"),
    "spend_limit.removed": _("Spend limit removed"),
    "credit.granted": _("Credit given"),
    "credit.expired": _("Credit expired"),
    "credit.taken_out": _("Credit taken out for a refund"),
    "cost_price.published": _("Cost price published"),
    "cost_price.delisted": _("Model delisted"),
    "cost_price.backdated": _("First price dated back to waiting usage"),
    "cost_prices.published": _("Price list published"),
    "models.listed": _("Models listed"),
    "models.described": _("Descriptions of models renewed"),
    "model.edited": _("Model edited"),
    "prices.quarantined": _("Prices put in quarantine"),
    "quarantine.approved": _("Quarantined price approved"),
    "quarantine.refused": _("Quarantined price refused"),
    "quarantine.withdrawn": _("Quarantined prices withdrawn by their list"),
    "price_feed.asked_for": _("Price list asked for"),
    "markup.set": _("Markup set"),
    "rollups.rebuilt": _("Hourly sums made anew from their events"),
    "exchange_rate.published": _("Exchange rate published"),
    "invoice.voided": _("Invoice voided"),
    "invoice.reissued": _("Invoice issued anew"),
    "tax_treatment.set": _("Tax treatment set"),
    "supply_proof.changed": _("Proof of a supply changed"),
    "tax_invoice.issued": _("Tax invoice issued"),
    "tax_invoice.issued_by_hand": _("Tax invoice issued by hand"),
    "tax_invoice.failed": _("Tax invoice refused"),
    "tax_invoice.planned_again": _("Tax invoice planned again"),
    "tax_invoice.issued_anew": _("Tax invoice planned anew after it was taken back"),
    "tax_invoice.corrected": _("Buyer of a tax invoice corrected"),
    "tax_invoice.taken_back": _("Tax invoice taken back as one too many"),
    "tax_invoice.cancel_asked": _("Provider asked to take a tax invoice back"),
    "tax_invoice.canceled": _("Tax invoice taken back before it was sent"),
    "invoice.written_off": _("Invoice written off"),
    "credit_note.issued": _("Credit note issued"),
    "refund.started": _("Refund begun"),
    "refund.succeeded": _("Refund made"),
    "refund.failed": _("Refund failed"),
    "deposit.undone": _("Decision on a deposit undone"),
    "payment.reversed": _("Payment taken back"),
    "outflow.settled": _("Outflow at the processor settled"),
    "invoice_draft.approved": _("Invoice draft approved"),
    "invoice_draft.made_anew": _("Invoice draft made anew"),
    "api_key.stopped": _("API key stopped for spending too fast"),
    "api_key.stop_lifted": _("Stop of an API key lifted"),
    "velocity_cap.set": _("Threshold that stops an API key set"),
    "velocity_cap.removed": _("Threshold that stops an API key removed"),
    "cost_price.corrected": _("Cost price corrected afterwards"),
    "markup.corrected": _("Markup corrected afterwards"),
    "usage.corrected": _("Usage corrected"),
    "usage.rerated": _("Usage priced anew"),
    "credit_note.proposed": _("Credit note proposed"),
    "payment_method.added": _("Payment method added"),
    "payment_method.removed": _("Payment method removed"),
    "payment_method.default": _("Payment method made the default"),
    "automatic_payment.set": _("Automatic payment set"),
    "automatic_top_up.set": _("Automatic top-up set"),
    "webhook.registered": _("Webhook registered"),
    "webhook.tested": _("Webhook tested"),
    "webhook.secret_rotated": _("Webhook secret rotated"),
    "webhook.overlap_ended": _("Previous webhook secret ended"),
    "webhook.switched_on": _("Webhook switched on again"),
    "webhook.removed": _("Webhook removed"),
    "low_credit.set": _("Threshold of low credit set"),
    "quotation.made": _("Quotation made"),
    "terms.set": _("Commercial terms agreed"),
    "catalog.seeded": _("Packaged price list taken in"),
    "demo.begun": _("Demo begun"),
    "demo.seeded": _("Demo seeded"),
}
"""Deeds in words; one that is not named here is shown by its code."""


@display(description=_("What was done"), ordering="action")
def deed(entry: AuditEntry) -> object:
    return ACTIONS.get(entry.action, entry.action)


@display(description=_("By whom"), ordering="actor__email")
def person(entry: AuditEntry) -> object:
    return entry.actor.email if entry.actor else _("The system")


@admin.register(AuditEntry, site=site)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ("at", deed, "target", CUSTOMER, person)
    list_filter = (("action", words_filter(lambda code: ACTIONS.get(code, code))), "organization", "actor")
    search_fields = ("action", "target", "actor__email", "organization__name")
    list_select_related = ("actor", "organization")
    date_hierarchy = "at"
    ordering = ("-at", "-pk")
    fieldsets = (
        (None, {"fields": ("at", deed, "action", "target", CUSTOMER, person)}),
        (_("Details"), {"fields": (audit_details,)}),
    )
