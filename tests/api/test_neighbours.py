"""Every route × method × role × neighbour's id: who gets in, and that nobody sees or changes what is not theirs.

Routes are read off the URL resolver. One that `expectations.py` does not name fails the first test; then each is really asked,
as a stranger, the neighbour, members of several roles, API keys and a service key.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from allauth.account.internal.flows.login import record_authentication
from django.apps import apps
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from pytest_django.fixtures import Settings

from accounts import invitations, throttling
from accounts.models import ApiKey, Membership, Role, Scope
from accounts.tenancy import tenant_scope
from billing.bank.bank_transfers import record_transfer
from billing.corrections.credit_notes import issue_credit_note
from billing.corrections.creditable import MoneyBack
from billing.exports import exporting
from billing.invoicing import close_period
from billing.models import Invoice
from billing.notifications import webhook_endpoints
from billing.papers import evidence_files
from billing.papers.quotations import Item, make_quotation
from billing.sellers import set_seller
from billing.what_if import Volume
from catalog.models import LanguageModel
from config.launch.ports import free_port
from ledger.models import BillingPeriod
from metering.limiting import set_limit
from pricing.tokens import TokenUsage
from tests import stories
from tests.api.expectations import (
    ADMINISTRATORS,
    EXPECTATIONS,
    METHODS,
    OWNERS,
    PAYERS,
    PREFIXES,
    PROFILE_EDITORS,
    REPORTERS,
    Expectation,
    Kind,
)

REFUSED = frozenset({401, 403, 404, 405, 500, 502, 503})
ROLES = (Role.OWNER, Role.DEVELOPER, Role.VIEWER)
ANYTHING = {
    "page_slug": "mistralai-devstral-small",
    "model_id": stories.DEVSTRAL,
    "key": "x",
    "uidb36": "x",
    "token": "x",
}


def routes(resolver: URLResolver | None = None, prefix: str = "", namespace: str = "") -> Iterator[tuple[str, str]]:
    """The pattern of every route of the site, with the name it is reversed by."""
    for entry in (resolver or get_resolver()).url_patterns:
        pattern = prefix + str(entry.pattern)
        if isinstance(entry, URLPattern):
            yield pattern, f"{namespace}{entry.name}" if entry.name else ""
        else:
            yield from routes(entry, pattern, f"{namespace}{entry.namespace}:" if entry.namespace else namespace)


def expectation_of(pattern: str) -> Expectation | None:
    return EXPECTATIONS.get(pattern) or next(
        (expected for prefix, expected in PREFIXES.items() if pattern.startswith(prefix)), None
    )


def test_every_route_declares_who_may_ask_it() -> None:
    patterns = [pattern for pattern, _name in routes()]
    assert [pattern for pattern in patterns if expectation_of(pattern) is None] == []
    assert sorted(EXPECTATIONS.keys() - set(patterns)) == [], "expectations of routes that are gone"


class Sweep:
    """Acme's things with their ids, who asks, and what went wrong so far."""

    def __init__(self, cast: stories.Cast) -> None:
        now, acme = stories.NOON, cast.acme.organization
        self.cast = cast
        self.faults: list[str] = []
        target, _secret = stories.make_key(acme, now=now, name="Acme's secret plan")
        outcome = stories.use(
            acme,
            at=now,
            key="acme-call-4711",
            end_user="acme-user-4712",
            api_key_id=target.pk,
            tags={"team": "acme-4713"},
        )
        invoice = self._invoice()
        evidence_files.write_evidence(organization_id=acme.pk, invoice_id=invoice.pk, now=now)
        self.ids = {
            "slug": acme.slug,
            "event_id": str(outcome.event_id),
            "key_id": str(target.pk),
            "invoice_id": str(invoice.pk),
            "payment_id": str(self._payment(invoice)),
            "note_id": str(self._note(invoice)),
            "quotation_id": str(self._quotation()),
            "position": "1",
            "limit_id": str(self._limit(hard=True)),
            "spend_limit_id": str(self._limit(hard=False)),
            "endpoint_id": str(self._webhook()),
            "webhook_id": str(self._webhook()),
            "export_id": str(self._export()),
            **self._colleagues(),
        }
        self.markers = [
            target.prefix,
            target.name,
            "acme-call-4711",
            "acme-user-4712",
            "acme-4713",
            "acme-4714",
            "acme-4716",
            "acme-4717",
            cast.acme.owner.email,
            invoice.number,
            "billing@acme.example",
            "guest@acme.example",
            "987654321",
            "hooks.acme.example",
        ]
        self.members = {role: stories.make_member(acme, role, now=now) for role in ROLES if role != Role.OWNER}
        self.members[Role.OWNER] = cast.acme.owner
        _key, self.powerless = stories.make_key(acme, now=now, scopes=[Scope.INFERENCE])

    def _colleagues(self) -> dict[str, str]:
        """A member of acme's, and somebody who is invited."""
        acme, now = self.cast.acme.organization, stories.NOON
        user = stories.make_member(acme, Role.BILLING, now=now)
        with tenant_scope([acme.pk]):
            places = Membership.objects.for_organization(acme).select_related("user")
            invitation = invitations.invite(
                organization=acme,
                email="guest@acme.example",
                role=Role.VIEWER,
                inviter=places.get(user=self.cast.acme.owner),
                now=now,
            )
            return {"member_id": str(places.get(user=user).pk), "invitation_id": str(invitation.pk)}

    def _limit(self, *, hard: bool) -> int:
        """Acme's own, which refuses nothing."""
        acme, amount = self.cast.acme.organization, Decimal(987_654_321)
        return set_limit(organization=acme, amount=amount, hard=hard, actor=None, now=stories.NOON).pk

    def _webhook(self) -> UUID:
        acme, url = self.cast.acme.organization, "https://hooks.acme.example/"
        return webhook_endpoints.register(organization=acme, url=url, actor=None, now=stories.NOON)[0].pk

    def _invoice(self) -> Invoice:
        """Acme's, for last month, open."""
        acme, month_ago = self.cast.acme.organization, stories.NOON - timedelta(days=30)
        set_seller(now=month_ago, **stories.SELLER)
        stories.use(acme, at=month_ago, usage=TokenUsage(input_tokens=100_000_000, output_tokens=0))
        with tenant_scope([acme.pk]):
            period = BillingPeriod.objects.get(starts_at__lte=month_ago, ends_at__gt=month_ago)
        invoice = close_period(organization_id=acme.pk, period_id=period.pk, now=stories.NOON)
        assert invoice is not None
        return invoice

    def _payment(self, invoice: Invoice) -> UUID:
        """A won of it, which leaves it open."""
        return record_transfer(
            organization_id=invoice.organization_id,
            invoice_id=invoice.pk,
            amount=Decimal(1),
            payer_name="acme-4714",
            key="acme-4715",
            received_at=stories.NOON,
            actor=None,
            now=stories.NOON,
        ).pk

    def _note(self, invoice: Invoice) -> UUID:
        """A won of its first line is taken back."""
        return issue_credit_note(
            organization_id=invoice.organization_id,
            invoice_id=invoice.pk,
            amounts={1: Decimal(1)},
            money_back=MoneyBack.CREDIT,
            reason_code="02",
            reason="acme-4716",
            now=stories.NOON,
            actor=None,
        ).pk

    def _export(self) -> UUID:
        """Of everything, made already."""
        key = self.cast.acme.organization.pk
        export = exporting.ask_for_export(organization_id=key, now=stories.NOON, actor=None)
        exporting.make_export(organization_id=key, export_id=export.pk, clock=lambda: stories.NOON)
        return export.pk

    def _quotation(self) -> int:
        """Of a million tokens."""
        model = LanguageModel.objects.get(slug=stories.DEVSTRAL)
        return make_quotation(
            organization=self.cast.acme.organization,
            items=[Item(model=model, volume=Volume(input_tokens=1_000_000))],
            valid_until=stories.NOON.date(),
            subject="acme-4717",
            actor=None,
            now=stories.NOON,
        ).pk

    def path(self, name: str, pattern: str, **own: str) -> str:
        """The address of a route with acme's ids in it. An unknown parameter needs a value here first."""
        known = ANYTHING | self.ids | own
        if not name:
            return "/" + pattern.replace("<slug:slug>", known["slug"])
        parameters = get_resolver().reverse_dict.getlist(name.rpartition(":")[2]) if ":" not in name else None
        wanted = (
            parameters[0][0][0][1] if parameters else [part.split(":")[-1].rstrip(">") for part in _converters(pattern)]
        )
        return reverse(name, kwargs={parameter: known[parameter] for parameter in wanted})

    def expect(self, who: str, answer: HttpResponse, allowed: Any, *, outsider: bool = True) -> None:
        """Note an answer whose status is not `allowed` (a set, or None for any that lets in), or that tells of acme."""
        request = f"{who}: {answer.wsgi_request.method} {answer.wsgi_request.get_full_path()}"  # type: ignore[attr-defined]
        fine = answer.status_code not in REFUSED if allowed is None else answer.status_code in allowed
        if not fine:
            self.faults.append(f"{request} → {answer.status_code}, expected {allowed or 'to be let in'}")
        body = b"".join(answer) if answer.streaming else answer.content
        if outsider and any(marker.encode() in body for marker in self.markers):
            self.faults.append(f"{request} tells of acme")


def _converters(pattern: str) -> list[str]:
    return [part.split(">")[0] for part in pattern.split("<")[1:]]


def session(user: Any, **headers: str) -> Client:
    """Signed in, with the password given just now, as exports want it."""
    client = Client(headers=headers, raise_request_exception=False)
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    request = HttpRequest()
    request.session = client.session
    record_authentication(request, user, method="password", reauthenticated=True)
    request.session.save()
    return client


def key_client(secret: str, **headers: str) -> Client:
    return Client(headers=stories.bearer(secret) | headers, raise_request_exception=False)


def ask(client: Client, method: str, path: str) -> HttpResponse:
    if method == "GET":
        return client.get(path)
    body = {} if not path.startswith("/api/") else "{}"
    return client.generic(
        method, path, body or "", content_type="application/json" if body else "application/x-www-form-urlencoded"
    )


def snapshot(organization_id: int) -> Mapping[str, Any]:
    """A digest of all rows of an organization, by table."""
    digests = {}
    for model in apps.get_models():
        columns = {field.column for field in model._meta.concrete_fields}
        column = "organization_id" if "organization_id" in columns else None
        if model._meta.db_table == "accounts_organization":
            column = "id"
        if column is None:
            continue
        with connections["system"].cursor() as cursor:
            cursor.execute(
                f"SELECT count(*), md5(string_agg(row::text, ',' ORDER BY row::text)) FROM {model._meta.db_table} AS row"
                f" WHERE {column} = %s",
                [organization_id],
            )
            digests[model._meta.db_table] = cursor.fetchone()
    return digests


@pytest.fixture
def sweep(cast: stories.Cast, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Sweep:
    settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE = "sk_test_nobody", f"http://127.0.0.1:{free_port()}"
    for scope in ("client", "anonymous", "ingest"):
        monkeypatch.setitem(throttling.api_settings.DEFAULT_THROTTLE_RATES, scope, "1000000/min")
    return Sweep(cast)


def test_nobody_reaches_what_is_not_theirs(sweep: Sweep) -> None:
    before = snapshot(sweep.cast.acme.organization.pk)
    for pattern, name in routes():
        _outsiders(sweep, pattern, name)
    assert not sweep.faults, "\n".join(sweep.faults)
    assert snapshot(sweep.cast.acme.organization.pk) == before, "an outsider changed something of acme's"


def _outsiders(sweep: Sweep, pattern: str, name: str) -> None:
    expected = expectation_of(pattern)
    assert expected is not None
    for method in METHODS:
        OUTSIDERS[expected.kind](sweep, expected, method, name, pattern)


def test_the_sweep_itself_notices_a_leak(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    everybodys = ApiKey.objects.using("system")
    monkeypatch.setattr("accounts.api.ApiKeyDetail._key", lambda view, key_id: everybodys.get(pk=key_id))
    _outsiders(sweep, "api/v1/api-keys/<str:key_id>", "api-key")
    for fault in ("globex's key, for itself: GET /api/v1/api-keys/3 → 200, expected {404}", "tells of acme", "DELETE"):
        assert any(fault in found for found in sweep.faults), fault


def test_members_get_in_as_far_as_their_role_goes(sweep: Sweep) -> None:
    for pattern, name in routes():
        expected = expectation_of(pattern)
        assert expected is not None
        if expected.kind in (Kind.PAGE, Kind.API):
            for role in sorted(sweep.members, key=lambda role: role == Role.OWNER):  # who may delete comes last
                for method in METHODS:
                    _member(sweep, expected, role, method, sweep.path(name, pattern))
    assert not sweep.faults, "\n".join(sweep.faults)


def _member(sweep: Sweep, expected: Expectation, role: Role, method: str, path: str) -> None:
    roles = expected.methods.get(method)
    allowed: Any = {405} if roles is None else {401} if roles is REPORTERS else None if role in roles else {403}
    if roles is None and role not in expected.everybody_somewhere:
        allowed = {403, 405}  # whichever is looked at first
    sweep.expect(role.value, ask(session(sweep.members[role]), method, path), allowed, outsider=False)


def _public(sweep: Sweep, expected: Expectation, method: str, name: str, pattern: str) -> None:
    allowed = None if method in expected.methods else {405}
    path = sweep.path(name, pattern)
    globex = sweep.cast.globex
    for who, client in {
        "anonymous": Client(raise_request_exception=False),
        "globex's owner": session(globex.owner),
        "globex's key": key_client(globex.secret),
    }.items():
        sweep.expect(who, ask(client, method, path), allowed)


def _nothing(sweep: Sweep, expected: Expectation, method: str, name: str, pattern: str) -> None:
    path = f"{sweep.path(name, pattern)}v1/acme"
    for client in (Client(raise_request_exception=False), key_client(sweep.cast.globex.secret)):
        sweep.expect("anybody", ask(client, method, path), {404})


def _own(sweep: Sweep, expected: Expectation, method: str, name: str, pattern: str) -> None:
    """What is one's own: any answer, but never a failure, and nothing of acme's."""
    path = sweep.path(name, pattern)
    for who, client in {
        "anonymous": Client(raise_request_exception=False),
        "globex's owner": session(sweep.cast.globex.owner),
    }.items():
        sweep.expect(who, ask(client, method, path), set(range(200, 500)))


def _page(sweep: Sweep, expected: Expectation, method: str, name: str, pattern: str) -> None:
    path, globex = sweep.path(name, pattern), sweep.cast.globex
    sweep.expect("anonymous", ask(Client(raise_request_exception=False), method, path), {302})
    sweep.expect("acme's key", ask(key_client(sweep.cast.acme.secret), method, path), {302})
    sweep.expect("globex's owner", ask(session(globex.owner), method, path), {404})
    sweep.expect("operator", ask(session(sweep.cast.operator), method, path), {404})
    if set(_converters(pattern)) != {"slug:slug"}:
        own_page = sweep.path(name, pattern, slug=globex.organization.slug)
        refused = {404} if method in expected.methods else {404, 405}
        sweep.expect("globex's owner, at home", ask(session(globex.owner), method, own_page), refused)


def _api(sweep: Sweep, expected: Expectation, method: str, name: str, pattern: str) -> None:
    path, globex = sweep.path(name, pattern), sweep.cast.globex
    roles = expected.methods.get(method)
    reporting = roles is REPORTERS
    sweep.expect("anonymous", ask(Client(raise_request_exception=False), method, path), {401})
    sweep.expect(
        "a service key", ask(key_client(sweep.cast.service_secret), method, path), None if reporting else {401}
    )
    sweep.expect("a key without scopes", ask(key_client(sweep.powerless), method, path), {403})
    naming_acme = {"X-Organization": "acme"}
    sweep.expect(
        "globex's owner", ask(session(globex.owner, **naming_acme), method, path), {401} if reporting else {404}
    )
    sweep.expect("globex's key", ask(key_client(globex.secret, **naming_acme), method, path), {404})
    sweep.expect(
        "operator", ask(session(sweep.cast.operator, **naming_acme), method, path), {401} if reporting else {404}
    )
    with_id = "<" in pattern
    own: Any = {405} if roles is None else {404} if with_id else None
    people_only = {OWNERS, PAYERS, PROFILE_EDITORS, ADMINISTRATORS}
    of_key = {403} if roles in people_only else own
    if roles is None and people_only & set(expected.methods.values()):
        of_key = {403, 405}  # whichever is looked at first
    sweep.expect("globex's key, for itself", ask(key_client(globex.secret), method, path), of_key)
    sweep.expect("globex's owner, for itself", ask(session(globex.owner), method, path), {401} if reporting else own)


OUTSIDERS = {Kind.PUBLIC: _public, Kind.NOTHING: _nothing, Kind.OWN: _own, Kind.PAGE: _page, Kind.API: _api}
