"""Who may ask which route how. A new route is named here, or `test_neighbours` fails.

`page` and `api` are an organization's; methods that are not named are refused with 405. Roles are those of members; keys need the
scope that the view names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from accounts.api_keys import ROLES_THAT_MANAGE_KEYS
from accounts.models import Role
from accounts.profiles import ROLES_THAT_EDIT_PROFILE
from billing.rest.payments_api import ROLES_THAT_PAY

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
EVERYBODY = frozenset(Role)
MANAGERS = ROLES_THAT_MANAGE_KEYS
ADMINISTRATORS = frozenset({Role.OWNER, Role.ADMIN})
OWNERS = frozenset({Role.OWNER})
PAYERS, PROFILE_EDITORS = frozenset(ROLES_THAT_PAY), frozenset(ROLES_THAT_EDIT_PROFILE)
"""People only: no key pays, or changes who is billed."""
REPORTERS: frozenset[Role] = frozenset()
"""Service keys, and API keys that may write usage; no session."""


class Kind(Enum):
    PUBLIC = auto()  # the same for everybody
    OWN = auto()  # about the signed-in person only, or on the way to signing in
    PAGE = auto()  # of an organization, under /o/<slug>/
    API = auto()  # of an organization, for keys and sessions
    NOTHING = auto()  # always 404


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a route is, and per method the roles that may use it."""

    kind: Kind
    methods: Mapping[str, frozenset[Role]]

    @property
    def everybody_somewhere(self) -> frozenset[Role]:
        """Roles that may use at least one method."""
        return frozenset[Role]().union(*self.methods.values())


def public(*methods: str) -> Expectation:
    return Expectation(Kind.PUBLIC, dict.fromkeys(methods or ("GET",), EVERYBODY))


def page(get: frozenset[Role] = EVERYBODY, post: frozenset[Role] | None = None) -> Expectation:
    return Expectation(Kind.PAGE, {"GET": get} | ({} if post is None else {"POST": post}))


def action(post: frozenset[Role]) -> Expectation:
    """A button on a page: POST only."""
    return Expectation(Kind.PAGE, {"POST": post})


def api(**methods: frozenset[Role]) -> Expectation:
    return Expectation(Kind.API, methods)


OWN = Expectation(Kind.OWN, {})
NOTHING = Expectation(Kind.NOTHING, {})

PREFIXES: Mapping[str, Expectation] = {"accounts/": OWN}
"""allauth's own pages: sign-in, second factor, one's addresses."""

EXPECTATIONS: Mapping[str, Expectation] = {
    # pages for everybody
    "": public(),
    "models": public(),
    "models/compare": public(),
    "models/<str:page_slug>": public(),
    "models/<path:model_id>": public(),
    "verify_receipts.py": public(),
    "legal/terms": public(),
    "legal/privacy": public(),
    "language": public("POST"),
    "webhooks/stripe": OWN,  # the processor's, by its signature
    "healthz": public(),
    "readyz": public(),
    # where somebody starts
    "dashboard": OWN,
    "welcome": OWN,
    "invitations/<str:token>": OWN,  # whoever holds the mail
    # an organization's pages
    "o/<slug:slug>": public(*METHODS),  # a redirect to the address with a slash
    "o/<slug:slug>/": page(),
    "o/<slug:slug>/first-request": page(),
    "o/<slug:slug>/usage": page(),
    "o/<slug:slug>/usage/export": page(),
    "o/<slug:slug>/requests": page(),
    "o/<slug:slug>/requests/<uuid:event_id>": page(),
    "o/<slug:slug>/waiting": page(),
    "o/<slug:slug>/holds": page(),
    "o/<slug:slug>/keys": page(),
    "o/<slug:slug>/keys/new": page(get=MANAGERS, post=MANAGERS),
    "o/<slug:slug>/keys/<int:key_id>": page(),
    "o/<slug:slug>/keys/<int:key_id>/rates": page(get=MANAGERS, post=MANAGERS),
    "o/<slug:slug>/keys/<int:key_id>/rotate": page(get=MANAGERS, post=MANAGERS),
    "o/<slug:slug>/keys/<int:key_id>/end-previous": action(MANAGERS),
    "o/<slug:slug>/keys/<int:key_id>/revoke": page(get=MANAGERS, post=MANAGERS),
    "o/<slug:slug>/limits": page(),
    "o/<slug:slug>/limits/new": page(get=ADMINISTRATORS, post=ADMINISTRATORS),
    "o/<slug:slug>/limits/<int:limit_id>": page(get=ADMINISTRATORS, post=ADMINISTRATORS),
    "o/<slug:slug>/limits/low-credit": page(get=ADMINISTRATORS, post=ADMINISTRATORS),
    "o/<slug:slug>/credit": page(),
    "o/<slug:slug>/credit/top-up": action(PAYERS),
    "o/<slug:slug>/credit/leave": action(PAYERS),
    "o/<slug:slug>/credit/automatic": action(PAYERS),
    "o/<slug:slug>/credit/progress": page(),
    "o/<slug:slug>/webhooks": page(post=ADMINISTRATORS),
    "o/<slug:slug>/webhooks/<uuid:endpoint_id>": page(post=ADMINISTRATORS),
    "o/<slug:slug>/webhooks/<uuid:endpoint_id>/rotate": page(get=ADMINISTRATORS, post=ADMINISTRATORS),
    "o/<slug:slug>/limits/breaker": page(get=ADMINISTRATORS, post=ADMINISTRATORS),
    "o/<slug:slug>/limits/breaker/<int:key_id>": page(get=ADMINISTRATORS, post=ADMINISTRATORS),
    "o/<slug:slug>/limits/stopped/<int:key_id>/lift": action(ADMINISTRATORS),
    "o/<slug:slug>/credit-notes": page(),
    "o/<slug:slug>/credit-notes/<uuid:note_id>": page(),
    "o/<slug:slug>/invoices": page(),
    "o/<slug:slug>/invoices/<uuid:invoice_id>": page(),
    "o/<slug:slug>/invoices/<uuid:invoice_id>/pdf": page(),
    "o/<slug:slug>/invoices/<uuid:invoice_id>/statement": page(),
    "o/<slug:slug>/invoices/<uuid:invoice_id>/evidence": page(),
    "o/<slug:slug>/credit-notes/<uuid:note_id>/pdf": page(),
    "o/<slug:slug>/payments/<uuid:payment_id>/receipt": page(),
    "o/<slug:slug>/quotations": page(),
    "o/<slug:slug>/quotations/new": page(PAYERS, post=PAYERS),
    "o/<slug:slug>/quotations/<int:quotation_id>/pdf": page(),
    "o/<slug:slug>/invoices/<uuid:invoice_id>/lines/<int:position>": page(),
    "o/<slug:slug>/invoices/<uuid:invoice_id>/export": page(),
    "o/<slug:slug>/invoices/<uuid:invoice_id>/lines/<int:position>/export": page(),
    "o/<slug:slug>/invoices/<uuid:invoice_id>/pay": Expectation(Kind.PAGE, {"POST": PAYERS}),
    "o/<slug:slug>/invoices/<uuid:invoice_id>/payment": page(),
    "o/<slug:slug>/members": page(),
    "o/<slug:slug>/members/invite": page(get=ADMINISTRATORS, post=ADMINISTRATORS),
    "o/<slug:slug>/members/leave": page(post=EVERYBODY),
    "o/<slug:slug>/members/<int:member_id>": page(get=ADMINISTRATORS, post=ADMINISTRATORS),
    "o/<slug:slug>/members/<int:member_id>/remove": action(ADMINISTRATORS),
    "o/<slug:slug>/invitations/<int:invitation_id>/resend": action(ADMINISTRATORS),
    "o/<slug:slug>/invitations/<int:invitation_id>/cancel": action(ADMINISTRATORS),
    "o/<slug:slug>/settings": page(post=ADMINISTRATORS),
    "o/<slug:slug>/settings/billing": page(post=PROFILE_EDITORS),
    "o/<slug:slug>/settings/payment": page(post=PAYERS),
    "o/<slug:slug>/settings/payment/add": action(PAYERS),
    "o/<slug:slug>/settings/payment/progress": page(),
    "o/<slug:slug>/settings/tags": page(post=ADMINISTRATORS),
    "o/<slug:slug>/settings/close": page(),
    "o/<slug:slug>/settings/export": action(OWNERS),
    "o/<slug:slug>/settings/export/progress": page(OWNERS),
    "o/<slug:slug>/settings/export/<uuid:export_id>": page(OWNERS),
    "o/<slug:slug>/settings/close/ask": page(get=OWNERS, post=OWNERS),
    "o/<slug:slug>/settings/close/take-back": action(OWNERS),
    "o/<slug:slug>/settings/profile": page(post=EVERYBODY),
    # REST
    "api/v1/usage": api(GET=EVERYBODY),
    "api/v1/usage/events": api(GET=EVERYBODY, POST=REPORTERS),
    "api/v1/usage/export": api(GET=EVERYBODY),
    "api/v1/usage/litellm": api(POST=REPORTERS),
    "api/v1/usage/otlp/v1/traces": api(POST=REPORTERS),
    "api/v1/usage/events/<uuid:event_id>": api(GET=EVERYBODY),
    "api/v1/usage/events/<uuid:event_id>/void": api(POST=REPORTERS),
    "api/v1/usage/events/<uuid:event_id>/amend": api(POST=REPORTERS),
    "api/v1/usage/corrections": api(POST=REPORTERS),
    "api/v1/models": public(),
    "api/v1/models/<path:model_id>": public(),
    "api/v1/models/<path:model_id>/prices": public(),
    "api/v1/estimates": public("POST"),
    "api/v1/estimates/what-if": public(),
    "api/v1/estimates/current": api(GET=EVERYBODY),
    "api/v1/balance": api(GET=EVERYBODY),
    "api/v1/credit_notes": api(GET=EVERYBODY),
    "api/v1/credit_notes/<uuid:note_id>": api(GET=EVERYBODY),
    "api/v1/invoices": api(GET=EVERYBODY),
    "api/v1/invoices/<uuid:invoice_id>": api(GET=EVERYBODY),
    "api/v1/invoices/<uuid:invoice_id>/pdf": api(GET=EVERYBODY),
    "api/v1/invoices/<uuid:invoice_id>/statement": api(GET=EVERYBODY),
    "api/v1/invoices/<uuid:invoice_id>/lines/<int:position>/events": api(GET=EVERYBODY),
    "api/v1/invoices/<uuid:invoice_id>/evidence": api(GET=EVERYBODY),
    "api/v1/invoices/<uuid:invoice_id>/export": api(GET=EVERYBODY),
    "api/v1/invoices/<uuid:invoice_id>/lines/<int:position>/export": api(GET=EVERYBODY),
    "api/v1/invoices/<uuid:invoice_id>/pay": api(POST=PAYERS),
    "api/v1/exports": api(GET=OWNERS, POST=OWNERS),
    "api/v1/exports/<uuid:export_id>": api(GET=OWNERS),
    "api/v1/exports/<uuid:export_id>/file": api(GET=OWNERS),
    "api/v1/payment_methods": api(GET=EVERYBODY),
    "api/v1/payments": api(GET=EVERYBODY),
    "api/v1/credit_notes/<uuid:note_id>/pdf": api(GET=EVERYBODY),
    "api/v1/payments/<uuid:payment_id>/receipt": api(GET=EVERYBODY),
    "api/v1/quotations": api(GET=EVERYBODY, POST=PAYERS),
    "api/v1/quotations/<int:quotation_id>": api(GET=EVERYBODY),
    "api/v1/quotations/<int:quotation_id>/pdf": api(GET=EVERYBODY),
    "api/v1/organization": api(GET=EVERYBODY, PATCH=PROFILE_EDITORS),
    "api/v1/organization/tags": api(GET=EVERYBODY, PUT=ADMINISTRATORS),
    "api/v1/limits": api(GET=EVERYBODY, PUT=ADMINISTRATORS),
    "api/v1/limits/<int:spend_limit_id>": api(DELETE=ADMINISTRATORS),
    "api/v1/limits/stopped-keys": api(GET=EVERYBODY),
    "api/v1/limits/stopped-keys/<int:key_id>/lift": api(POST=ADMINISTRATORS),
    "api/v1/webhooks": api(GET=EVERYBODY, POST=ADMINISTRATORS),
    "api/v1/webhooks/<uuid:webhook_id>": api(DELETE=ADMINISTRATORS),
    "api/v1/webhooks/<uuid:webhook_id>/test": api(POST=ADMINISTRATORS),
    "api/v1/webhooks/<uuid:webhook_id>/rotate": api(POST=ADMINISTRATORS),
    "api/v1/webhooks/<uuid:webhook_id>/end-previous": api(POST=ADMINISTRATORS),
    "api/v1/webhooks/<uuid:webhook_id>/deliveries": api(GET=EVERYBODY),
    "api/v1/api-keys": api(GET=MANAGERS, POST=MANAGERS),
    "api/v1/api-keys/<str:key_id>": api(GET=MANAGERS, DELETE=MANAGERS),
    "api/v1/schema/": public(),
    "api/docs/": public(),
    "api/": NOTHING,
}
