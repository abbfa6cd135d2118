"""Invariants of closures: whose usage has ended uses nothing more, and a closed organization has nothing open or forgotten."""

from accounts.invariants import Invariant, by_sql
from billing.closures.afterwards import forgotten_money

CLOSURES = (
    by_sql(
        "54",
        "whose usage has ended has no key that works, no open invitation and no usage from its closing moment on",
        """
        SELECT organization.id AS organization_id, organization.slug, keys.count AS keys, invitations.count AS invitations,
            late.count AS late_usage
        FROM accounts_organization AS organization
        CROSS JOIN LATERAL (SELECT count(*) FROM accounts_apikey AS key WHERE key.organization_id = organization.id
            AND key.revoked_at IS NULL) AS keys
        CROSS JOIN LATERAL (SELECT count(*) FROM accounts_invitation AS invitation
            WHERE invitation.organization_id = organization.id AND invitation.accepted_at IS NULL
                AND invitation.canceled_at IS NULL) AS invitations
        CROSS JOIN LATERAL (SELECT count(*) FROM metering_usageevent AS event WHERE event.organization_id = organization.id
            AND event.id >= (lpad(to_hex(floor(extract(epoch FROM organization.closes_at) * 1000)::bigint), 12, '0')
                || repeat('0', 20))::uuid AND event.occurred_at >= organization.closes_at) AS late
        WHERE organization.status IN ('closing', 'closed') AND (keys.count > 0 OR invitations.count > 0 OR late.count > 0)
        """,
    ),
    by_sql(
        "55",
        "an organization closes by a closure of that moment; a closed one has no open period, call or unbilled usage",
        """
        SELECT organization.id AS organization_id, organization.slug, organization.status, closure.status AS closure
        FROM accounts_organization AS organization
        LEFT JOIN billing_closure AS closure
            ON closure.organization_id = organization.id AND closure.status <> 'withdrawn'
        LEFT JOIN ledger_balance AS balance ON balance.organization_id = organization.id
        WHERE organization.closes_at IS DISTINCT FROM closure.closes_at
            OR CASE organization.status WHEN 'closing' THEN 'settling' WHEN 'closed' THEN 'closed' ELSE 'asked' END
                <> coalesce(closure.status, 'asked')
            OR organization.status = 'closed' AND (organization.readable_until IS NULL
                OR (balance.unbilled, balance.held) <> (0, 0)
                OR EXISTS (SELECT FROM ledger_billingperiod AS period
                    WHERE period.organization_id = organization.id AND period.status <> 'closed'))
        """,
    ),
    Invariant(
        "59",
        "what a closed organization holds or owes is known to an operator, and is seen to in time",
        forgotten_money,
    ),
)
